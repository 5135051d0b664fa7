"""One spelling for the same text."""

import re
import unicodedata
from typing import Literal

Profile = Literal["code", "prose"]

_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ufeff\ufffe\uffff]")
_LINE_ENDS = re.compile("\r\n?")
_BLANK_LINES = re.compile(r"\n{4,}")


def normalise(text: str, profile: Profile) -> str:
    """NFC, line feeds only, no control characters but tab; in prose at most two blank lines in a row."""
    text = unicodedata.normalize("NFC", text)
    text = _CONTROLS.sub("", _LINE_ENDS.sub("\n", text))
    return _BLANK_LINES.sub("\n\n\n", text) if profile == "prose" else text
