"""JSON under whatever name: a value, lines, values one after the other, as programs write it.

Whole values are not read: a value becomes up to thirty times as large when it is. A beginning that consists of
nothing but what JSON consists of is JSON.
"""

import json
import re
from typing import Literal

Form = Literal["", "value", "lines", "values"]

_BEGINS = re.compile(r"\x1e?\s*[\[{]")
# Possessive: a beginning of brackets or quotes only is no trap.
_TOKENS = re.compile(
    r'(?:[\s\x1e{}\[\],:]++|"(?:[^"\\\n]|\\.)*+"|-?\d++(?:\.\d++)?(?:[eE][+-]?\d++)?(?![\w.])'
    r"|(?:true|false|null|NaN|-?Infinity)\b)*+"
)
_HALF_TOKEN = re.compile(r'"(?:[^"\\\n]|\\.)*+\\?|-?[\w.+-]{0,40}')  # where the beginning was cut
_SOMETHING = re.compile(r'["\d\w]|[\]}]')


def json_form(beginning: str, *, is_whole: bool) -> Form:
    """What JSON a text is by its beginning, which may be all of it; nothing: it is none."""
    if not _BEGINS.match(beginning) or not _SOMETHING.search(beginning):
        return ""
    tokens = _TOKENS.match(beginning)
    end = tokens.end() if tokens else 0
    if end < len(beginning) and (is_whole or not _HALF_TOKEN.fullmatch(beginning, end)):
        return ""
    return _form(beginning)


def _form(beginning: str) -> Form:
    if beginning.startswith("\x1e"):
        return "values"
    first_line, _, rest = beginning.partition("\n")
    if first_line[:1] == "{" and rest.lstrip()[:1] == "{" and first_line.rstrip()[-1:] == "}":
        return "lines"
    try:
        _, end = json.JSONDecoder().raw_decode(beginning)
    except (ValueError, RecursionError):
        return "value"
    return "values" if beginning[end:].strip() else "value"
