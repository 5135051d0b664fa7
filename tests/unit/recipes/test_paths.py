"""Relative paths are the author's."""

from pathlib import Path

import pytest

from ropewalk.recipes.paths import with_absolute_paths

HERE = Path("/home/me")


@pytest.mark.parametrize(
    ("sources", "absolute"),
    [
        ([{"path": "notes", "licence": "MIT"}], [{"path": "/home/me/notes", "licence": "MIT"}]),
        ({"path": "notes"}, {"path": "/home/me/notes"}),
        ("notes", "/home/me/notes"),
        (["notes", "/data"], ["/home/me/notes", "/data"]),
        (["s3://bucket/notes", "a/b://c"], ["s3://bucket/notes", "/home/me/a/b://c"]),
        ([7, None], [7, None]),
    ],
)
def test_sources_in_every_form_are_spelt_out(sources, absolute) -> None:
    assert with_absolute_paths({"sources": sources}, HERE) == {"sources": absolute}


@pytest.mark.parametrize(
    ("base_model", "absolute"),
    [("./base", "/home/me/./base"), ("../base", "/home/me/../base"), ("/base", "/base"), ("org/name", "org/name")],
)
def test_a_base_model_is_a_path_if_it_looks_like_one(base_model: str, absolute: str) -> None:
    assert with_absolute_paths({"base_model": base_model}, HERE)["base_model"] == absolute
