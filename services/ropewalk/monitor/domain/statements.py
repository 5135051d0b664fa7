"""Reading SQL just far enough: may a reader run it, where does the data of an INSERT begin, which format is asked.

The engine's own read-only mode refuses writes, settings and most table functions; what it lets through although it
should not is refused here: INTO OUTFILE, KILL, a second statement behind a semicolon, and every function that reads
files, the network or this process. Where the scan below could misread a statement, it refuses.
"""

import re
from collections.abc import Mapping

from ropewalk.events.foreign import quoted
from ropewalk.monitor.errors import AnalyticsError

_READS = {"SELECT", "WITH", "SHOW", "DESCRIBE", "DESC", "EXPLAIN", "EXISTS"}
# Possessive, and with an end for what does not end: whatever comes is read once, in linear time.
_STRING_OR_COMMENT = re.compile(
    r"""'(?:[^'\\]|\\.|'')*+(?:'|(?P<open>\\?\Z))
    | (?P<name>"(?:[^"\\]|\\.|"")*+" | `(?:[^`\\]|\\.|``)*+`)
    | (?P<open_name>["`].*+)
    | --[^\r\n]*+
    | /\*(?:[^*]|\*(?!/))*+(?:\*/|(?P<open_comment>\Z))""",
    re.DOTALL | re.VERBOSE,
)
# other ways to begin or end a string, a comment or a name
_ODD_SIGNS = re.compile(r"[‘’“”$#\0]|\r(?!\n)|\\")
_OUTSIDE = re.compile(
    r"""(?x) \b( file | fileCluster | filesystem | url | urlCluster | outfile | input | python | eval | executable
    | s3 | s3Cluster | gcs | oss | cosn | azureBlob\w* | hdfs\w* | deltaLake\w* | hudi\w* | iceberg\w* | paimon\w*
    | remote | remoteSecure | cluster | clusterAllReplicas | loop | dictionary | arrowstream | ytsaurus | bigquery
    | mongodb | mysql | postgresql | redis | sqlite | jdbc | odbc | prometheusQuery\w* | getClientHTTPHeader
    | ai(classify|embed|extract|filter|generate|redact|similarity|translate) )\b""",
    re.IGNORECASE,
)
_INSERT_HEAD_BYTES = 64 * 1024
_INSERT_HEAD = re.compile(
    rb"\s*(INSERT\s+INTO\b.*?)\s+FORMAT\s+(\w+)(?:\s*;)?(?:[ \t]*\r?\n|[ \t]+|$)", re.IGNORECASE | re.DOTALL
)
_FORMAT = re.compile(r"\bFORMAT\s++(?=(\w++))", re.IGNORECASE)  # the next one may begin with the word that follows
# what may follow a column that is called `format`; no format is called so
_KEYWORD = re.compile(
    "FORMAT|FROM|AS|IN|IS|NOT|AND|OR|LIKE|ILIKE|BETWEEN|ASC|DESC|NULLS|THEN|ELSE|END|WHEN|GLOBAL|UNION|INTERSECT"
    "|EXCEPT|LIMIT|OFFSET|ORDER|GROUP|HAVING|WHERE|PREWHERE|QUALIFY|WINDOW|SETTINGS|USING|ON|JOIN|DIV|MOD|WITH",
    re.IGNORECASE,
)


class ForbiddenError(AnalyticsError, ValueError):
    """A reader may not run this statement."""


def skeleton(sql: str) -> str:
    """The statement without comments and strings; quoted names stay, without their quotes.

    Raises ForbiddenError where one of them does not end.
    """
    return _STRING_OR_COMMENT.sub(_blank, sql)


def _blank(match: re.Match[str]) -> str:
    if match.lastgroup not in (None, "name"):
        raise ForbiddenError(f"the statement ends within what begins with {quoted(match.group()[:20])}")
    return f" {match['name'][1:-1]} " if match["name"] else " "


def check_read(sql: str, parameters: Mapping[str, str]) -> None:
    """Raises ForbiddenError unless this is one statement that only reads the tables."""
    bare = skeleton(sql).strip()
    first = re.match(r"[\s(]*(\w*)", bare)
    kind = first.group(1).upper() if first else ""
    if kind not in _READS:
        allowed = ", ".join(sorted(_READS))
        raise ForbiddenError(f"this user may only read: {kind or 'the statement'} is not one of {allowed}")
    if odd := _ODD_SIGNS.search(bare):
        raise ForbiddenError(f"this user may not use {odd.group()!r} outside of a string")
    if ";" in bare.rstrip("; \t\r\n"):
        raise ForbiddenError("one statement at a time: remove what follows the semicolon")
    names = [bare, *parameters.values()] if re.search(r":\s*identifier\b", bare, re.IGNORECASE) else [bare]
    if found := next(filter(None, map(_OUTSIDE.search, names)), None):
        raise ForbiddenError(f"this user may only read the tables: {found.group()!r} reaches outside of them")


def split_insert(raw: bytes) -> tuple[str, str, bytes] | None:
    """`INSERT … FORMAT X` and its data: (statement, format, data); None for anything else."""
    match = _INSERT_HEAD.match(raw[:_INSERT_HEAD_BYTES])
    if match is None:
        return None
    return match.group(1).decode(), match.group(2).decode(), raw[match.end() :]


def formats_in(sql: str) -> list[str]:
    """The formats that a statement names, in order. Raises ForbiddenError."""
    return [name for name in _FORMAT.findall(skeleton(sql)) if not _KEYWORD.fullmatch(name)]


def output_format(sql: str, default: str) -> str:
    """The format that the result will have."""
    try:
        return [default, *formats_in(sql)][-1]
    except ForbiddenError:  # a writer's: the engine has read it its own way
        return default
