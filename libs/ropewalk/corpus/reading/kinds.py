"""What a file holds, by its name and its first bytes, as far as it is not text or JSON lines.

A table, a web page or an archive is UTF-8 too, more often than not, and a model that learns its markup learns nothing
else. What no reader here understands is named and set aside; nothing is guessed. `format: text` takes every file as
the text it is.
"""

import json
import re
from dataclasses import dataclass

from ropewalk.corpus.reading.records import Reason

_AS_TEXT = "convert it to text or to JSON lines, or take it as it is with `format: text`"
_AS_LINES = "write one object per line (`jq -c '.[]' in.json > out.jsonl`), or take it as it is with `format: text`"


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of file that is not read. `reason` is the word it is counted under."""

    reason: Reason
    title: str
    remedy: str = _AS_TEXT

    @property
    def sentence(self) -> str:
        """What it is and what to do."""
        return f"{self.title}: {self.remedy}"


_CSV = Kind(reason="unsupported_csv", title="a table (CSV)", remedy=f"it has columns and is no text; {_AS_TEXT}")
_HTML = Kind(reason="unsupported_html", title="a web page (HTML)")
_XML = Kind(reason="unsupported_xml", title="XML")
JSON = Kind(reason="unsupported_json", title="a JSON array or object", remedy=_AS_LINES)
JSON_LINES = Kind(
    reason="unsupported_json",
    title="JSON lines under another name",
    remedy="read it with `format: jsonl`, or take it as it is with `format: text`",
)
_NOTEBOOK = Kind(reason="unsupported_notebook", title="a notebook (Jupyter)")
_WARC = Kind(reason="unsupported_warc", title="a web archive (WARC)")
_TABLE = Kind(reason="unsupported_table", title="a table or database in a binary form")
_PAPER = Kind(reason="unsupported_document", title="a document of an office or e-book program")
_MAIL = Kind(reason="unsupported_mail", title="a mailbox")
_SUBTITLES = Kind(reason="unsupported_subtitles", title="subtitles")
_ARCHIVE = Kind(reason="unsupported_archive", title="an archive", remedy="unpack it; single files may be .gz or .zst")

_BY_SUFFIX = {
    suffix: kind
    for kind, suffixes in {
        _CSV: "csv tsv tab psv",
        _HTML: "html htm xhtml shtml mhtml mht",
        _XML: "xml svg rss atom xsl xslt kml gpx dbk",
        JSON: "json geojson topojson har json5",
        _NOTEBOOK: "ipynb",
        _WARC: "warc arc wet wat",
        _TABLE: "parquet pq arrow feather orc avro xls xlsx xlsm ods sqlite sqlite3 db dbf mdb hdf5 h5 npy npz pkl",
        _PAPER: "pdf doc docx odt rtf epub mobi azw3 djvu ps ppt pptx odp",
        _MAIL: "mbox eml msg",
        _SUBTITLES: "srt vtt ass ssa sbv",
        _ARCHIVE: "zip tar tgz tbz2 txz tzst 7z rar bz2 xz lz4 lzma br z cab iso jar whl deb rpm",
    }.items()
    for suffix in suffixes.split()
}
_BEGINNING_BYTES = 10_000
_COMMENTS = re.compile(rb"(?:<!--.*?-->\s*)+(?=<)", re.DOTALL)  # browsers write one before a page they save
_MOST_BYTES = 1_000_000  # a value becomes up to thirty times as large when it is read
_LIKE_JSON = re.compile(rb'\[?\s*\{\s*"[^"\n]{1,200}"\s*:|\[\s*("[^"\n]{0,200}"|-?\d{1,40}|\[)\s*,')
_BY_BEGINNING = (
    (b"<!doctype html", _HTML),
    (b"<html", _HTML),
    (b"<!doctype", _XML),
    (b"<head>", _HTML),
    (b"<body", _HTML),
    (b"<?xml", _XML),
    (b"<svg", _XML),
    (b"<rss", _XML),
    (b"<mediawiki", _XML),
    (b"warc/1.", _WARC),
    (b"webvtt", _SUBTITLES),
    (b"%pdf-", _PAPER),
    (b"{\\rtf", _PAPER),
    (b"pk\x03\x04", _ARCHIVE),
    (b"par1", _TABLE),
    (b"sqlite format 3\0", _TABLE),
)


def kind_by_name(name: str) -> Kind | None:
    """The kind that a file's name says, without the suffix of its compression; None: it may be text."""
    stem, dot, suffix = name.rpartition("/")[2].rpartition(".")
    return _BY_SUFFIX.get(suffix.lower()) if stem and dot else None


def kind_by_beginning(raw: bytes) -> Kind | None:
    """The kind that the content of a text says; `raw` is its beginning, or all of it."""
    start = _COMMENTS.sub(b"", raw.removeprefix(b"\xef\xbb\xbf")[:_BEGINNING_BYTES].lstrip(), count=1)
    for beginning, kind in _BY_BEGINNING:
        if start[: len(beginning)].lower() == beginning:
            return kind
    start = raw.removeprefix(b"\xef\xbb\xbf").lstrip()
    return _json_kind(start) if start[:1] in (b"{", b"[") else None


def _json_kind(start: bytes) -> Kind | None:
    """JSON lines if the first line is an object; a JSON value if the whole is one."""
    first_line, _, rest = start.partition(b"\n")
    if first_line[:1] == b"{" and rest.lstrip()[:1] == b"{" and _is_json(first_line):
        return JSON_LINES
    return JSON if _is_json(start) else None


def _is_json(raw: bytes) -> bool:
    """Of what is too large to be read for this, whether it begins like JSON that programs write."""
    if len(raw) > _MOST_BYTES:
        return _LIKE_JSON.match(raw) is not None
    try:
        return isinstance(json.loads(raw), dict | list)
    except (ValueError, RecursionError):
        return False
