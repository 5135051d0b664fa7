"""Whether a text has the form of a JSON Schema's `pattern`, decided by what holds answers to it when they are written.

llguidance follows a regular expression by its derivatives: in one pass over the text, whatever the expression, and
without look-around, back-references and word boundaries. So what is written under a schema fits the schema here.
"""

import json
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from ropewalk.events.foreign import one_line

MAX_PATTERN = 256  # characters
_ANYTHING = "(?s:.*)"
_ESCAPED = re.compile(r'["\\]')
_PARTS = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|.", re.DOTALL)  # of a pattern: escapes, classes, single characters
_LIMITS = {"initial_lexer_fuel": 200_000, "step_lexer_fuel": 20_000, "max_lexer_states": 10_000}


def pattern_fault(pattern: object) -> str:
    """Why nothing can be held to it; empty: answers can."""
    if not isinstance(pattern, str):
        return "it is no text"
    if len(pattern) > MAX_PATTERN:
        return f"it has {len(pattern):,} characters, and {MAX_PATTERN} are followed"
    return _known(pattern).fault


def has_form(text: str, pattern: str, on_compile: Callable[[], None] = lambda: None) -> bool:
    """Whether the pattern matches somewhere in the text, as JSON Schema has it; not, if that takes too much.

    `on_compile` is called before the pattern is compiled once more, which costs some milliseconds.
    """
    try:
        # llguidance takes DEL in a text of JSON as an escape only
        body = list(json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f").encode())
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    if not _holds(_known(pattern), body, on_compile):
        return False
    if not _ESCAPED.search(text) or (bare := _bare(pattern)) is None:
        return True
    # Where control characters may stand, llguidance takes an escaped quote or backslash for one of them.
    return _holds(bare, list(text.encode()), on_compile)


class _Known:
    """What is wrong with a pattern, and its matcher, which is replaced once it is used up."""

    def __init__(self, grammar: str) -> None:
        self.grammar = grammar
        self.matcher = _compiled(grammar)
        self.fault = ""
        if self.matcher.is_error() or not any(self.matcher.compute_bitmask()):
            self.fault = one_line(" ".join(self.matcher.get_error().split()), 200) or "nothing can match it"


def _holds(known: _Known, body: list[int], on_compile: Callable[[], None]) -> bool:
    is_match, is_error = _matched(known.matcher, body)
    if is_error:  # copies share their lexer, whose bounds earlier texts may have used up
        on_compile()
        known.matcher = _compiled(known.grammar)
        is_match, is_error = _matched(known.matcher, body)
    return is_match and not is_error


def _matched(matcher: Any, body: list[int]) -> tuple[bool, bool]:
    """Whether it matches, and whether that could not be decided."""
    copy = matcher.deep_copy()
    is_match = copy.try_consume_tokens(body) == len(body) and copy.is_accepting()
    return is_match, copy.is_error()


@lru_cache(maxsize=256)
def _known(pattern: str) -> _Known:
    import llguidance  # only where a schema has a pattern

    schema = json.dumps({"type": "string", "pattern": pattern})
    return _Known(llguidance.LLMatcher.grammar_from_json_schema(schema))


@lru_cache(maxsize=256)
def _bare(pattern: str) -> _Known | None:
    """For a text that stands in no JSON. None for an anchor within a group, which llguidance follows in JSON only."""
    import llguidance

    branches, depth = [list[str]()], 0
    for part in _PARTS.findall(pattern):
        depth += (part == "(") - (part == ")")
        if part == "|" and not depth:
            branches.append([])
        else:
            branches[-1].append(part)
    whole = "|".join(
        ("" if parts[:1] == ["^"] else _ANYTHING) + "".join(parts) + ("" if parts[-1:] == ["$"] else _ANYTHING)
        for parts in branches
    )
    known = _Known(llguidance.LLMatcher.grammar_from_regex(whole))
    return None if known.fault else known


def _compiled(grammar: str) -> Any:
    import llguidance

    limits = llguidance.LLParserLimits(**_LIMITS)
    return llguidance.LLMatcher(llguidance.LLTokenizer("byte"), grammar, log_level=0, limits=limits)
