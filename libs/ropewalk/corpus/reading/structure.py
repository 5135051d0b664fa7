"""What the structure of a text says: a table, mail, subtitles or marked-up text, whatever its name is.

Only the beginning is looked at. Prose and source code must never be set aside, so every rule asks for what nobody
writes by hand: as many columns in every line, a block of a mail's fields, a text that consists of nothing but tags.
"""

import csv
import re
from collections import Counter
from typing import Literal

Structure = Literal["", "table", "mail", "subtitles", "html", "xml"]

_MOST_ROWS = 500
_FEW_ROWS = 3  # fewer tell nothing
_ALIKE = 0.9  # of the rows: titles, remarks and sums stand around many tables
_MANY_ROWS = 5  # of a table with blanks behind its commas, or of two columns: shorter ones may be a list of words
_CELL_CHARS = 60  # of a name of a column
_MAIL_FIELDS = frozenset(
    field
    for fields in (
        "from to cc date subject message-id received return-path mime-version content-type reply-to x-mailer",
        "delivered-to in-reply-to references",
    )
    for field in fields.split()
)
_FIELD = re.compile(r"([A-Za-z][A-Za-z0-9-]{0,60}):(?=\s|$)")
_MAILBOX = re.compile(r"From \S{1,200} [^\n]{0,100}\d{4}[^\n]{0,20}\n[A-Za-z][A-Za-z0-9-]{0,60}: ")
_CLOCK = r"(?:\d{1,3}:)?\d{1,2}:\d\d[.,]\d{1,3}"
_SUBTITLES = re.compile(
    rf"(?:\d{{1,6}}\s*\n)?{_CLOCK}\s*(?:-->|,)\s*{_CLOCK}\s|\[Script Info\]|\{{\d{{1,9}}\}}\{{\d{{1,9}}\}}",
    re.IGNORECASE,
)
_TAG = re.compile(r"<(/?)([A-Za-z_][\w.:-]{0,60})((?:\s[^<>]{0,2000})?)/?>")
_XML_TAG = re.compile(r"<([A-Za-z_][\w.:-]{0,60})([\s>/][^<>]{0,2000})")
_HEAD_TAGS = frozenset({"head", "title", "meta", "base"})  # no readme begins with one
_HTML_TAGS = _HEAD_TAGS.union(
    tag
    for tags in (
        "html body div p span table tr ul ol dl thead tbody tfoot td th caption li dt dd h1 h2 h3 h4 h5 h6 header",
        "article section nav footer main aside figure form iframe img a b i u em strong br hr pre blockquote center",
        "font link style script noscript",
    )
    for tag in tags.split()
)
_MARKDOWN = re.compile(r"^(?:#{1,6} |```|~~~)|\]\([^)\n]{1,300}\)", re.MULTILINE)
_PERHAPS_MARKDOWN = re.compile(r"^(?:[-*+] |\d{1,9}\. |> |\||={3,}$|-{3,}$)|\*\*\w", re.MULTILINE)
_MARKED = 0.3  # of the characters of a page that has words before its first tag
_MANY_TAGS = 20


def structure(text: str, ending: str, *, is_whole: bool) -> Structure:
    """What a text is by its beginning and its last characters; `is_whole`: nothing lies behind the beginning.

    Nothing: it may well be prose or code.
    """
    if _SUBTITLES.match(text):
        return "subtitles"
    if _MAILBOX.match(text) or _is_mail(text):
        return "mail"
    return _markup(text, ending) or ("table" if _is_table(text, is_whole=is_whole) else "")


def _is_mail(text: str) -> bool:
    """Fields of a mail up to the first empty line, who it is from and two others that mails have among them."""
    names = []
    for line in text[:20_000].split("\n"):
        line = line.rstrip("\r")
        if not line:
            break
        if line[:1] in " \t":
            continue
        field = _FIELD.match(line)
        if field is None:
            return False
        names.append(field[1].lower())
    return "from" in names and len(_MAIL_FIELDS.intersection(names)) >= 3


def _markup(text: str, ending: str) -> Literal["", "html", "xml"]:
    begins = _XML_TAG.match(text)
    if begins is None:
        return "html" if _is_full_of_tags(text) else ""
    name, attributes = begins[1], begins[2]
    if name.lower() in _HTML_TAGS:
        return "html" if _is_page(text, name.lower(), attributes) else ""
    is_element = " xmlns" in attributes or ending.rstrip().endswith(f"</{name}>")
    return "xml" if is_element else ""


def _is_page(text: str, first: str, attributes: str) -> bool:
    """A readme may begin with tags too: one that aligns, as sites of code allow it, or signs of Markdown behind it."""
    if first in _HEAD_TAGS:
        return True
    if _MARKDOWN.search(text):
        return False
    if "align" in attributes or _PERHAPS_MARKDOWN.search(text):
        return _is_full_of_tags(text)
    return len(_TAG.findall(text)) >= 2


def _is_full_of_tags(text: str) -> bool:
    tags = [tag for tag in _TAG.finditer(text) if tag[2].lower() in _HTML_TAGS]
    is_full = len(tags) >= _MANY_TAGS and sum(tag.end() - tag.start() for tag in tags) > _MARKED * len(text)
    return is_full and not _MARKDOWN.search(text)


def _is_table(text: str, *, is_whole: bool) -> bool:
    lines = text.splitlines(keepends=True)
    if not is_whole:
        del lines[-1:]
    lines = [line for line in lines if line.strip()][:_MOST_ROWS]
    return any(_is_in_columns(lines, delimiter) for delimiter in "\t,;|")


def _is_in_columns(lines: list[str], delimiter: str) -> bool:
    """As many cells in nearly every row, and a first row like the others."""
    if sum(delimiter in line for line in lines[:20]) < min(len(lines), 20) // 2:
        return False
    try:
        rows = [row for row in csv.reader(lines, delimiter=delimiter) if row]
    except csv.Error:
        return False
    if len(rows) < _FEW_ROWS:
        return False
    width, count = Counter(map(len, rows)).most_common(1)[0]
    if width < 2 or count < (_ALIKE if len(rows) >= 10 else 1) * len(rows):
        return False
    rows = [row for row in rows if len(row) == width]
    num_ended = sum(bool(row[-1].strip()) for row in rows)
    if not any(row[0].strip() for row in rows) or num_ended < (0.5 if width == 2 else 1 - _ALIKE) * len(rows):
        return False  # the ends of statements and of lists in code, or the frame of a table in Markdown
    return delimiter == "\t" or _is_exported(rows, lines, delimiter)


def _is_exported(rows: list[list[str]], lines: list[str], delimiter: str) -> bool:
    """Prose and code write a blank behind a comma; programs do not, or there are many rows of many columns."""
    if any(len(cell) > _CELL_CHARS for cell in rows[0]) and not lines[0].startswith('"'):
        return False
    num_delimiters = sum(len(row) - 1 for row in rows)
    share_blank = sum(cell.startswith(" ") for row in rows for cell in row[1:]) / num_delimiters
    if len(rows[0]) == 2:
        return share_blank <= 1 - _ALIKE and (len(rows) >= _MANY_ROWS or any('"' in line for line in lines))
    return share_blank <= 1 - _ALIKE or (share_blank >= _ALIKE and len(rows) >= _MANY_ROWS)
