"""Whatever bytes stand in whatever file: each record is read, or set aside with a short reason."""

import gzip
from pathlib import Path
from tempfile import TemporaryDirectory

import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from ropewalk.corpus.reading.contents import contents
from ropewalk.corpus.reading.records import Content, Flaw, Limits
from ropewalk.corpus.reading.sources import list_files
from ropewalk.corpus.reading.survey import SurveyLimits, survey
from ropewalk.recipes.recipe import SourceRecipe

PIECES = (
    b'{"text": "hello", "n": NaN}\n',
    b'{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}\n',
    b'{"messages": [{"role": {}, "content": [{"type": "text", "text": "\\udc00"}]}]}\n',
    b'{"text": "\\ud83d"}\n',
    b"[" * 2000,
    "\ufeffein Text 🚢\n\n".encode(),
    "some words\n".encode("utf-16"),
    "some words\n".encode("utf-32"),
    b"<html>",
    b"\x1f\x8b\x08",
    b"\x28\xb5\x2f\xfd",
    b"\0\0\0",
    b"\r\n \n",
    b"many plain words\n" * 40,
)
PLAIN = st.lists(st.sampled_from(PIECES) | st.binary(max_size=12), max_size=8).map(b"".join)
PACKED = st.sampled_from([(".gz", gzip.compress), (".ZST", zstandard.compress)])


@st.composite
def files(draw: st.DrawFn) -> tuple[str, bytes]:
    name = "f" + draw(st.sampled_from(["", ".txt", ".jsonl", ".JSONL", ".json", ".csv"]))
    raw = draw(PLAIN)
    if draw(st.booleans()):
        suffix, pack = draw(PACKED)
        name, raw = name + suffix, pack(raw) + draw(st.sampled_from([b"", b"\0" * 9, b"behind", pack(raw)]))
        raw = raw[: draw(st.sampled_from([len(raw), len(raw) - 1, len(raw) // 2]))]
    return name, raw


@settings(max_examples=300, deadline=None)
@given(
    file=files(),
    form=st.sampled_from(["auto", "text", "jsonl", "chat"]),
    record_bytes=st.sampled_from([10, 100, 8_000_000]),
)
def test_everything_is_read_or_set_aside_and_a_survey_of_it_counts_the_same(
    file: tuple[str, bytes], form: str, record_bytes: int
) -> None:
    name, raw = file
    limits = Limits(record_bytes=record_bytes)
    with TemporaryDirectory() as folder:
        (Path(folder) / name).write_bytes(raw)
        source = SourceRecipe.model_validate({"path": folder, "licence": "x", "format": form})
        found = [item for each in list_files(source) for item in contents(each, source, limits)]
        looked = survey([source], SurveyLimits(seconds=60), limits)
    assert found
    for place, item in found:
        assert place.isprintable()
        if isinstance(item, Flaw):
            assert 0 < len(item.detail) < 1500
        else:
            assert item.text.encode().strip() or item.messages
    assert looked.num_documents == sum(isinstance(item, Content) for _, item in found)
    assert sum(aside.num_records for aside in looked.set_aside) == len(found) - looked.num_documents
