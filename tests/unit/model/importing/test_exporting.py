"""A model that is given away as GGUF was read back, and says what it said."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from parts.small_engines import a_llama, an_export
from typer.testing import CliRunner

from ropewalk.cli.tree import app
from ropewalk.client.exporting import CARD, Exportable, GgufWork, export_to, write_and_read_back
from ropewalk.model.importing.certificate import certify_copy
from ropewalk.model.importing.errors import RefusedError
from ropewalk.recipes.bases import Base
from ropewalk.storage.local import LocalObjects

NAMED = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|endoftext|>"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    place = an_export(tmp_path_factory.mktemp("llama") / "model", a_llama())
    (place / "tokenizer_config.json").write_text(json.dumps(NAMED))
    return place


def exported(folder: Path, scratch: Path, *, eight_bits: bool) -> dict:
    scratch.mkdir()
    work = GgufWork(folder=folder, scratch=scratch, name="tiny", licence="mit", eight_bits=eight_bits)
    return write_and_read_back(work, lambda _: None)


def test_eight_bits_are_told_with_what_they_cost_and_float_costs_nothing(folder, tmp_path) -> None:
    whole, small = (exported(folder, tmp_path / str(eight), eight_bits=eight) for eight in (False, True))
    assert whole["num_equal"] == whole["num_prompts"] == 64
    assert whole["num_tokens"] > 64
    assert small["num_equal"] + small["num_ties"] <= 64
    assert 0 < abs(small["bits_per_byte"] - small["bits_per_byte_read_back"]) < 0.05


def test_a_copy_that_says_or_reads_something_else_is_refused(folder, tmp_path) -> None:
    model = a_llama()
    model.model.layers[1].mlp.down_proj.weight.data.add_(torch.randn(64, 96) * 0.1)
    other = an_export(tmp_path / "other", model)
    with pytest.raises(RefusedError, match="says other tokens on"):
        certify_copy(folder, other, exact=True, say=lambda _: None)
    tokenizer = json.loads((other / "tokenizer.json").read_bytes())
    tokenizer["model"]["merges"] = tokenizer["model"]["merges"][:3]
    (other / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(RefusedError, match="other tokens of the same text"):
        certify_copy(folder, other, exact=True, say=lambda _: None)


@pytest.fixture
def export(tmp_path, monkeypatch) -> Callable[..., tuple[int, str]]:
    """The command, for an imported model in a store of its own and without a stack."""
    monkeypatch.setenv("ROPEWALK_OBJECTS_URL", f"file://{tmp_path}/store")
    base = Base(
        content="c" * 64,
        name="tiny",
        source="gguf:tiny.gguf",
        licence="mit",
        family="llama",
        num_parameters=1,
        context_length=128,
        has_template=False,
        imported_at="2026-11-27T01:00:00+00:00",
        certificate={},
    )
    LocalObjects(tmp_path / "store").publish(
        an_export(tmp_path / "new", a_llama()), base.key, base.model_dump(mode="json", exclude={"content"})
    )

    def run(target: str, *options: str) -> tuple[int, str]:
        found = CliRunner().invoke(app, ["model", "export", "tiny", str(tmp_path / "out" / target), *options])
        return found.exit_code, " ".join((found.output + str(found.exception or "")).split())

    return run


def misspelt(*arguments: str) -> str:
    return str(CliRunner().invoke(app, [*arguments, "--state-dir", "nowhere"]).exception)


def test_an_imported_model_is_copied_as_a_folder_and_over_nothing(export, tmp_path) -> None:
    code, said = export("tiny")
    assert (code, "its licence is mit" in said, "README.md" in said) == (0, True, False)
    weights = tmp_path / "out" / "tiny" / "model.safetensors"
    plain = tmp_path / "plain"
    plain.mkdir()
    (plain / "file").touch()
    assert weights.stat().st_mode == (plain / "file").stat().st_mode  # safetensors and the scratch are for the owner
    assert weights.parent.stat().st_mode == plain.stat().st_mode
    assert "there is no imported model 'tinny'; imported: tiny" in misspelt("models", "export", "tinny", str(plain))
    assert "there is no imported model 'tinny'; imported: tiny" in misspelt("models", "show", "tinny")
    assert "nothing is written over" in export("tiny")[1]
    assert "nothing is written over" in export("tiny", "--format", "gguf")[1]
    code, said = export("tiny/inside")  # a copy is sealed, so one more file in it would make it a damaged one
    assert code
    assert "lies in a sealed folder" in said
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["tiny"]


def test_a_link_to_nowhere_is_not_followed_and_a_copy_that_fails_leaves_nothing(
    export, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "link").symlink_to(tmp_path / "elsewhere")
    assert "nothing is written over" in export("link")[1]

    def copyfile(source: Path, copy: Path) -> None:
        copy.write_text("{}")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", copyfile)
    code, said = export("half")
    assert code
    assert "tiny is not exported: [Errno 28] No space left on device" in said
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["link"]


def test_a_card_that_nobody_may_write_is_replaced_in_the_copy_alone(tmp_path) -> None:
    store = LocalObjects(tmp_path / "store")
    new = an_export(tmp_path / "new", a_llama())
    (new / CARD).write_text("old")
    (new / CARD).chmod(0o444)
    store.publish(new, "exports/x", {})
    export_to(tmp_path / "copy", Exportable(name="x@1", uri="exports/x", licence="mit", card="new"), store)
    assert (tmp_path / "copy" / CARD).read_text() == "new"
    assert (store.fetch("exports/x") / CARD).read_text() == "old"


@pytest.mark.slow
def test_the_command_writes_a_gguf_file_that_says_the_same(export, tmp_path) -> None:
    code, said = export("tiny.gguf", "--format", "gguf")
    assert code == 0, said
    assert "read back by transformers, 64 of 64 greedy answers are the same" in said
    assert (tmp_path / "out" / "tiny.gguf").read_bytes()[:4] == b"GGUF"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["tiny.gguf"]
