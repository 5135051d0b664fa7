"""Reading SQL just far enough: may a reader run it, where does the data of an INSERT begin, which format is asked.

The engine's own read-only mode refuses writes, table functions and settings; what it lets through although it should
not (INTO OUTFILE, KILL, a second statement behind a semicolon) is refused here.
"""

import re

_READS = {"SELECT", "WITH", "SHOW", "DESCRIBE", "DESC", "EXPLAIN", "EXISTS"}
_QUOTED_OR_COMMENT = re.compile(
    r"""'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*"|`(?:[^`\\]|\\.|``)*`|--[^\n]*|/\*.*?\*/""", re.DOTALL
)
_ODD_SIGNS = re.compile(r"[‘’“”$#]|\r(?!\n)")  # other ways to begin or end a string or comment: not followed here
_INSERT_HEAD = re.compile(
    rb"\s*(INSERT\s+INTO\b.*?)\s+FORMAT\s+(\w+)(?:\s*;)?(?:[ \t]*\r?\n|[ \t]+|$)", re.IGNORECASE | re.DOTALL
)
_TRAILING_FORMAT = re.compile(r"\bFORMAT\s+(\w+)\s*;?\s*$", re.IGNORECASE)


class ForbiddenError(ValueError):
    """A reader may not run this statement."""


def skeleton(sql: str) -> str:
    """The statement without comments and with every quoted text as one space."""
    return _QUOTED_OR_COMMENT.sub(" ", sql)


def check_read(sql: str) -> None:
    """Raises ForbiddenError unless this is one statement that only reads."""
    bare = skeleton(sql).strip()
    first = re.match(r"[\s(]*(\w*)", bare)
    kind = first.group(1).upper() if first else ""
    if kind not in _READS:
        raise ForbiddenError(
            f"this user may only read: {kind or 'the statement'} is not one of {', '.join(sorted(_READS))}"
        )
    if re.search(r"\boutfile\b", sql, re.IGNORECASE):
        raise ForbiddenError("this user may only read: INTO OUTFILE writes a file")
    if ";" in bare.rstrip("; \t\r\n") or (";" in sql.rstrip("; \t\r\n") and _ODD_SIGNS.search(sql)):
        raise ForbiddenError("one statement at a time: remove what follows the semicolon")


def split_insert(raw: bytes) -> tuple[str, str, bytes] | None:
    """`INSERT … FORMAT X` and its data: (statement, format, data); None for anything else."""
    match = _INSERT_HEAD.match(raw)
    if match is None:
        return None
    return match.group(1).decode(), match.group(2).decode(), raw[match.end() :]


def output_format(sql: str, default: str) -> str:
    """The format that the result will have."""
    match = _TRAILING_FORMAT.search(skeleton(sql))
    return match.group(1) if match else default
