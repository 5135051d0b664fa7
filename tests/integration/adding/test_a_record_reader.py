"""A reader of records is added by a file of its own and one line: the format can be written, and files are ingested."""

READER = '''
"""Cards: a record per line, its field and its text on both sides of a colon."""

from collections.abc import Iterator

from ropewalk.corpus.reading.readers import ReaderTask
from ropewalk.corpus.reading.records import Flaw, Record
from ropewalk.corpus.reading.source import SourceFile


def read(file: SourceFile, task: ReaderTask) -> Iterator[tuple[str, Record | Flaw]]:
    """See RecordReader."""
    with file.open() as lines:
        for number, line in enumerate(lines, 1):
            field, colon, text = line.decode().strip().partition(": ")
            if colon:
                yield str(number), Record({field: text}, len(line))
            else:
                yield str(number), Flaw("missing_field", "a card without a colon", len(line))
'''
INGESTED = """
import sys
from pathlib import Path
from ropewalk.corpus.draft import draft_recipe
from ropewalk.corpus.reading.places import ANYWHERE
from ropewalk.corpus.reading.records import Limits
from ropewalk.events.data import RecordQuarantined
from ropewalk.ingest.adapters.reader import IngestJob, ingest_all
from ropewalk.recipes.builtin import resolve_recipe
from ropewalk.storage.connect import StoreAddress

place = Path(sys.argv[1])
recipe = resolve_recipe({"sources": {"path": str(place / "in"), "licence": "MIT", "text_field": "said"}})
named = resolve_recipe({"sources": {"path": str(place / "in"), "licence": "MIT", "format": "cards"}})
print(recipe.sources[0].format, named.sources[0].format)
facts = []
corpus = ingest_all(
    IngestJob(
        run_id="r", sources=recipe.sources, limits=Limits(), reach=ANYWHERE, fetched_at="",
        store=StoreAddress(url=(place / "objects").as_uri()), scratch=place / "scratch",
    ),
    facts.append,
)
print(corpus.num_documents, corpus.num_quarantined)
print(*(fact.reason + ": " + fact.examples[0] for fact, _ in facts if isinstance(fact, RecordQuarantined)), sep="; ")
print(draft_recipe(place / "in").fields["sources"][0]["text_field"])
"""
PRINTED = """\
auto cards
2 1
missing_field: a.cards#3: a card without a colon
said
"""


def test_a_record_reader_is_one_new_file_and_one_line(copy, tmp_path) -> None:
    copy.insert("libs/ropewalk/corpus/reading/readers/cards.py", READER)
    copy.insert("libs/ropewalk/recipes/formats.py", '    "cards": (".cards",),\n', before='    "parquet": ')
    assert len(copy.edited) == 2
    for name in ("in", "scratch"):
        (tmp_path / name).mkdir()
    (tmp_path / "in" / "a.cards").write_text("said: the tide is high\nsaid: the rope holds\nnothing\n")
    assert copy.run("-c", INGESTED, str(tmp_path)) == PRINTED
