"""What a file holds, by its name and its beginning, as far as it is not text or JSON lines.

A table, a web page or an archive is UTF-8 too, more often than not, and a model that learns its markup learns nothing
else. What no reader here understands is named and set aside. `format: text` takes every file as
the text it is.
"""

import re
from dataclasses import dataclass

from ropewalk.corpus.reading.jsonlike import json_form
from ropewalk.corpus.reading.records import Flaw, Reason
from ropewalk.corpus.reading.structure import structure

_CONVERT = "convert it to text or to JSON lines"
_AS_TEXT = f"{_CONVERT}, or take it as it is with `format: text`"
_AS_LINES = "write one object per line (`jq -c '.[]' in.json > out.jsonl`), or take it as it is with `format: text`"


@dataclass(frozen=True)
class FileKind:
    """A kind of file that is not read. `reason` is the word it is counted under."""

    reason: Reason
    title: str
    remedy: str = _AS_TEXT

    def flaw(self, num_bytes: int) -> Flaw:
        """The fate of a file of this kind: what it is and what to do."""
        return Flaw(self.reason, f"{self.title}: {self.remedy}", num_bytes)


_CSV = FileKind("unsupported_csv", "a table (CSV)", f"it has columns and is no text; {_AS_TEXT}")
_HTML = FileKind("unsupported_html", "a web page (HTML)")
_XML = FileKind("unsupported_xml", "XML")
JSON = FileKind("unsupported_json", "a JSON array or object", _AS_LINES)
JSON_LINES = FileKind(
    "unsupported_json",
    "JSON lines under another name",
    "read it with `format: jsonl`, or take it as it is with `format: text`",
)
_JSON_VALUES = FileKind(
    "unsupported_json",
    "JSON values one after the other",
    "write one object per line (`jq -c . in.json > out.jsonl`, of a sequence `jq --seq -c .`), or take it as it "
    "is with `format: text`",
)
_SETTINGS = FileKind("unsupported_settings", "settings or data (YAML or TOML)")
_NOTEBOOK = FileKind("unsupported_notebook", "a notebook (Jupyter)")
_WARC = FileKind("unsupported_warc", "a web archive (WARC or ARC)")
_TABLE = FileKind("unsupported_table", "a table or database in a binary form", _CONVERT)
_PARQUET = FileKind(
    "unsupported_table", "a table (Parquet) under another name", "name it .parquet, or read it with `format: parquet`"
)
_PAPER = FileKind("unsupported_document", "a document of an office or e-book program", _CONVERT)
_MAIL = FileKind("unsupported_mail", "a mailbox")
_SUBTITLES = FileKind("unsupported_subtitles", "subtitles")
_GZIP = FileKind("unsupported_archive", "a gzip archive", "add .gz to its name, or unpack it")
_ZSTANDARD = FileKind("unsupported_archive", "a zstandard archive", "add .zst to its name or unpack it")
_ARCHIVE = FileKind("unsupported_archive", "an archive", "unpack it; single files may be .gz or .zst")

_BY_SUFFIX = {
    suffix: kind
    for kind, suffixes in {
        _CSV: "csv tsv tab psv",
        _HTML: "html htm xhtml shtml mhtml mht",
        _XML: "xml svg rss atom xsl xslt kml gpx dbk",
        JSON: "json geojson topojson har json5",
        _SETTINGS: "yaml yml toml",
        _NOTEBOOK: "ipynb",
        _WARC: "warc arc wet wat",
        _TABLE: "arrow feather orc avro xls xlsx xlsm ods sqlite sqlite3 db dbf mdb hdf5 h5 npy npz pkl",
        _PAPER: "pdf doc docx odt rtf epub mobi azw3 djvu ps ppt pptx odp",
        _MAIL: "mbox eml msg",
        _SUBTITLES: "srt vtt ass ssa sbv",
        _ARCHIVE: "zip tar tgz tbz2 txz tzst 7z rar bz2 xz lz4 lzma br z cab iso jar whl deb rpm",
    }.items()
    for suffix in suffixes.split()
}
_SOURCE_CODE = frozenset(
    suffix
    for languages in (
        "py pyi pyx js mjs cjs jsx ts tsx vue svelte c h cc cpp cxx hpp hh m mm java kt scala go rs rb php pl pm lua r",
        "sh bash zsh fish ps1 bat sql css scss less swift dart cs fs ex exs erl hs ml mli clj lisp el vim tcl f f90",
        "s jl proto thrift graphql cmake mk make gradle tf nix diff patch jinja j2 tmpl erb ejs hbs mustache",
        "po pot ini cfg asm",
    )
    for suffix in languages.split()
)
_BEGINNING_BYTES = 64_000
_ENDING_BYTES = 200
_FIRST_WORDS_CHARS = 40
# Possessive and atomic: comments without what follows them are no trap. Browsers write one before a page they save.
_COMMENTS = re.compile(r"(?:(?><!--.*?-->)\s*+)++(?=<)", re.DOTALL)
_BY_MAGIC = (
    (b"\x1f\x8b", _GZIP),
    (b"\x28\xb5\x2f\xfd", _ZSTANDARD),
    (b"BZh91AY&SY", _ARCHIVE),
    (b"\xfd7zXZ\0", _ARCHIVE),
    (b"7z\xbc\xaf\x27\x1c", _ARCHIVE),
    (b"PK\x03\x04", _ARCHIVE),
    (b"PAR1", _PARQUET),
    (b"SQLite format 3\0", _TABLE),
    (b"%PDF-", _PAPER),
)
_BY_FIRST_WORDS = (
    ("<!doctype html", _HTML),
    ("<html", _HTML),
    ("<!doctype", _XML),
    ("<head>", _HTML),
    ("<body", _HTML),
    ("<?xml", _XML),
    ("<svg", _XML),
    ("<rss", _XML),
    ("<mediawiki", _XML),
    ("warc/0.", _WARC),
    ("warc/1.", _WARC),
    ("filedesc://", _WARC),
    ("webvtt", _SUBTITLES),
    ("{\\rtf", _PAPER),
    ("%pdf-", _PAPER),
)
_BY_FORM = {"value": JSON, "lines": JSON_LINES, "values": _JSON_VALUES}
_BY_STRUCTURE = {"table": _CSV, "mail": _MAIL, "subtitles": _SUBTITLES, "html": _HTML, "xml": _XML}


def kind_by_name(name: str) -> FileKind | None:
    """The kind that a file's name says, without the suffix of its compression; None: it may be text."""
    return _BY_SUFFIX.get(_suffix(name))


def kind_by_magic(raw: bytes) -> FileKind | None:
    """The kind of a binary form that the first bytes of a file say."""
    return next((kind for magic, kind in _BY_MAGIC if raw.startswith(magic)), None)


def kind_by_beginning(raw: bytes, name: str = "") -> FileKind | None:
    """The kind that the content of a text says; `raw` is its beginning, or all of it.

    What its `name` says to be source code is known by its first words only, and not by its structure.
    """
    if (kind := kind_by_magic(raw)) is not None:
        return kind
    text = raw[:_BEGINNING_BYTES].decode(errors="replace").lstrip("\ufeff \t\r\n\v\f")
    text = text[comments.end() :] if (comments := _COMMENTS.match(text)) else text
    first_words = text[:_FIRST_WORDS_CHARS].lower()
    kind = next((kind for words, kind in _BY_FIRST_WORDS if first_words.startswith(words)), None)
    if kind is not None or _suffix(name) in _SOURCE_CODE:
        return kind
    is_whole = len(raw) <= _BEGINNING_BYTES
    if form := json_form(text, is_whole=is_whole):
        return _BY_FORM[form]
    return _BY_STRUCTURE.get(structure(text, raw[-_ENDING_BYTES:].decode(errors="replace"), is_whole=is_whole))


def _suffix(name: str) -> str:
    stem, dot, suffix = name.rpartition("/")[2].rpartition(".")
    return suffix.lower() if stem and dot else ""
