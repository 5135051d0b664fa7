"""Parquet: a record per row, out of the columns that count. Row groups are streamed, a few rows at a time.

Its metadata may lie and its pages may grow a thousandfold, so what is decoded is bounded where it is allocated: the
kernel refuses memory beyond the bound, and pyarrow turns that into an error.
"""

import io
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import IO, Any

os.environ.update(ARROW_DEFAULT_MEMORY_POOL="system")  # the others take a gigabyte at once, which the bound refuses

import pyarrow as pa  # it reads the variable above when it is loaded
import pyarrow.parquet as pq

from ropewalk.corpus.document import SYNTHETIC
from ropewalk.corpus.reading.content import FAULTS, fault
from ropewalk.corpus.reading.conversations import RECORD_FIELDS
from ropewalk.corpus.reading.examples import INPUT, OUTPUT
from ropewalk.corpus.reading.preferences import CHOSEN, PREFERENCE_FIELDS
from ropewalk.corpus.reading.readers import ReaderTask
from ropewalk.corpus.reading.records import MOST_VALUES, Flaw, Record
from ropewalk.corpus.reading.selection import archive_suffix
from ropewalk.corpus.reading.source import SourceFile
from ropewalk.corpus.reading.unpacking import MAX_RATIO, BombError, most_plain
from ropewalk.events.foreign import one_line, quoted
from ropewalk.recipes.formats import CHAT, CONVERSATIONS, EXAMPLES, INPUTS, PREFERENCES

_ROWS = 64  # decoded together
_MEMORY_BYTES = 1 << 30  # for decoding them
_MOST_PARTS = 5_000  # row groups, or columns; a schema of so many levels does not fill the stack yet, 18,000 do
_MOST_TEXT_BYTES = 1 << 24  # of the metadata
_MOST_LEVELS = 16  # of lists and structs in a column; a conversation with parts has six
_WRONG = (pa.ArrowException, OSError, ValueError, OverflowError)  # pyarrow has its own word for few of its faults

Found = Iterator[tuple[str, Record | Flaw]]


def read(file: SourceFile, task: ReaderTask) -> Found:
    """See RecordReader. The place is the number of the row, from 1."""
    if archive_suffix(file.path):
        yield "", Flaw("unsupported_archive", "Parquet in an archive: unpack it; it is compressed inside already")
        return
    try:
        packed = file.open()
    except FAULTS as error:
        yield "", fault(error)
        return
    with packed:
        try:
            yield from _rows(packed, file.num_bytes, task)
        except BombError as error:
            yield "", fault(error)
        except MemoryError:
            yield "", Flaw("oversized", f"{_ROWS} rows need more than {_MEMORY_BYTES:,} bytes when they are decoded")
        except _WRONG as error:
            yield "", Flaw("corrupt_table", f"the Parquet file is damaged: {one_line(str(error), 200)}", file.num_bytes)


def _rows(packed: IO[bytes], file_bytes: int, task: ReaderTask) -> Found:
    task.meter.begin()
    _start_threads()
    with _bounded_memory():
        table = pq.ParquetFile(
            packed,
            buffer_size=1 << 16,  # a column chunk is read in pieces, not as a whole
            thrift_string_size_limit=_MOST_TEXT_BYTES,
            thrift_container_size_limit=_MOST_PARTS,
            page_checksum_verification=True,
        )
        schema = table.schema_arrow
    columns = [name for name in schema.names if task.all_fields or name in _fields(task)]
    if (flaw := _unfit(schema, columns, task)) is not None:
        yield "", flaw
        return
    number = total = 0
    for batch in _batches(table, columns):
        for at in range(batch.num_rows):
            number += 1
            record = _record(batch.slice(at, 1), task.record_bytes)
            total += max(record.num_bytes, MAX_RATIO)  # so even rows without a value are at most one per byte on disk
            if total > most_plain(file_bytes):
                raise BombError(f"the table grows more than {MAX_RATIO}-fold; from row {number:,} on it is not read")
            yield str(number), record
        task.meter.count(file_bytes * number // table.metadata.num_rows, batch.nbytes)
    if not number:
        yield "", Flaw("empty", "no row in the table")


def _fields(task: ReaderTask) -> frozenset[str]:
    own = {INPUT, OUTPUT, SYNTHETIC, task.source.text_field, task.source.key_field}
    return RECORD_FIELDS | PREFERENCE_FIELDS | own


def _unfit(schema: pa.Schema, columns: list[str], task: ReaderTask) -> Flaw | None:
    """Why no row of a table can become a document."""
    form = task.source.format
    wanted = {CHAT: "messages", EXAMPLES: INPUT, INPUTS: INPUT, PREFERENCES: CHOSEN}.get(form, task.source.text_field)
    if not task.all_fields and wanted not in columns and (form in CONVERSATIONS or "messages" not in columns):
        names = one_line(", ".join(schema.names[:8]), 200)
        remedy = "name the one that holds the text in `text_field`"
        return Flaw("unsupported_table", f"a table without a column {quoted(wanted)}; it has: {names}; {remedy}")
    doubled = next((name for name in columns if columns.count(name) > 1), None)
    if doubled is not None:
        remedy = "give each column a name of its own"
        return Flaw("unsupported_table", f"the table has two columns of the name {quoted(doubled)}; {remedy}")
    deep = next((name for name in columns if _levels(schema.field(name).type) > _MOST_LEVELS), None)
    return None if deep is None else Flaw("unsupported_table", f"the column {quoted(deep)} is nested too deeply")


def _levels(kind: pa.DataType) -> int:
    """How deep a type is nested, as far as it matters. Without recursion: it may be thousands deep."""
    kinds, levels = [kind], 0
    while kinds and levels <= _MOST_LEVELS:
        kinds = [each.field(place).type for each in kinds for place in range(each.num_fields)]
        levels += 1
    return levels


def _batches(table: pq.ParquetFile, columns: list[str]) -> Iterator[pa.RecordBatch]:
    batches = table.iter_batches(batch_size=_ROWS, columns=columns, use_threads=False)
    while True:
        with _bounded_memory():
            batch = next(batches, None)
        if batch is None:
            return
        yield batch


def _record(row: pa.RecordBatch, max_bytes: int) -> Record | Flaw:
    """One row in Python's own values, once it is known that these stay small."""
    columns = [_plain(column) for column in row.columns]
    num_bytes = sum(column.nbytes for column in columns)
    if num_bytes > max_bytes:
        return Flaw("oversized", f"a row of {num_bytes:,} bytes; the limit is {max_bytes:,}", num_bytes)
    if sum(_num_values(column) for column in columns) > MOST_VALUES:
        return Flaw("oversized", f"more than {MOST_VALUES:,} values in one row", num_bytes)
    try:
        values = [_as_text(column[0].as_py()) for column in columns]
    except UnicodeDecodeError as error:
        return Flaw("not_utf8", f"{error.reason} at offset {error.start} of a column", num_bytes)
    return Record(dict(zip(row.schema.names, values, strict=True)), num_bytes)


def _plain(column: pa.Array) -> pa.Array:
    """Without the dictionary, which holds the values of other rows too."""
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _as_text(value: Any) -> Any:
    """Many writers do not say of a text that it is one."""
    return value.decode() if isinstance(value, bytes) else value


def _num_values(column: pa.Array) -> int:
    if pa.types.is_struct(column.type):
        return len(column) + sum(_num_values(part) for part in column.flatten())
    return len(column) + (_num_values(column.flatten()) if pa.types.is_nested(column.type) else 0)


@cache
def _start_threads() -> None:
    """Those of pyarrow, before there is a bound: it ends the process if it cannot start one."""
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    table = io.BytesIO()
    pq.write_table(pa.table({"text": [""]}), table)
    for _ in pq.ParquetFile(table).iter_batches(use_threads=False):
        pass


@contextmanager
def _bounded_memory() -> Iterator[None]:
    """No more than _MEMORY_BYTES beyond what the process has now; pyarrow has no bound of its own.

    Every thread of the process is under it, so a service reads in a child process.
    """
    before, hard = resource.getrlimit(resource.RLIMIT_DATA)
    with open("/proc/self/statm", encoding="ascii") as statm:
        used = int(statm.read().split()[5]) * os.sysconf("SC_PAGE_SIZE")
    bounds = (used + _MEMORY_BYTES, before, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (min(each for each in bounds if each >= 0), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (before, hard))
