"""The records of one file."""

from collections.abc import Iterator
from pathlib import Path

from ropewalk.corpus.reading.files import Meter, SourceFile, read_lines, read_whole
from ropewalk.corpus.reading.records import Content, Flaw, Limits, parse_line, parse_text, split_text
from ropewalk.corpus.reading.selection import holds_records
from ropewalk.recipes.recipe import SourceRecipe


def contents(
    file: SourceFile, source: SourceRecipe, limits: Limits, meter: Meter | None = None
) -> Iterator[tuple[str, Content | Flaw]]:
    """The records of a file with their paths. Blank lines between records are not records.

    A source that is a single text file is cut into parts.
    """
    meter = meter or Meter()
    if not holds_records(file.path, source):
        raw = read_whole(file, limits.record_bytes, meter)
        content = raw if isinstance(raw, Flaw) else parse_text(raw)
        if isinstance(content, Content) and Path(source.path).expanduser() == file.location:
            parts = split_text(content)
            yield from ((f"{file.path}#{number}", part) for number, part in enumerate(parts, 1))
        else:
            yield file.path, content
        return
    chat = {"chat": True, "jsonl": False}.get(source.format)
    num_records = 0
    for number, line in read_lines(file, limits.record_bytes, meter):
        if line:
            num_records += 1
            yield (
                f"{file.path}#{number}",
                line
                if isinstance(line, Flaw)
                else parse_line(line, text_field=source.text_field, chat=chat, key_field=source.key_field),
            )
    if not num_records:
        yield file.path, Flaw("empty", "no record in the file")
