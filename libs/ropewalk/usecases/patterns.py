"""Whether a text has the form of a JSON Schema's `pattern`, decided by what holds answers to it when they are written.

llguidance follows a regular expression by its derivatives: in one pass over the text, whatever the expression, and
without look-around, back-references and word boundaries. So what is written under a schema fits the schema here.
"""

import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from ropewalk.events.foreign import one_line

MAX_PATTERN = 256  # characters
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
        body = list(json.dumps(text, ensure_ascii=False).encode())
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    known = _known(pattern)
    is_match, is_error = _matched(known.matcher, body)
    if is_error:  # copies share their lexer, whose bounds earlier texts may have used up
        on_compile()
        known.matcher = _compiled(pattern)
        is_match, is_error = _matched(known.matcher, body)
    return is_match and not is_error


def _matched(matcher: Any, body: list[int]) -> tuple[bool, bool]:
    """Whether it matches, and whether that could not be decided."""
    copy = matcher.deep_copy()
    is_match = copy.try_consume_tokens(body) == len(body) and copy.is_accepting()
    return is_match, copy.is_error()


class _Known:
    """What is wrong with a pattern, and its matcher, which is replaced once it is used up."""

    def __init__(self, pattern: str) -> None:
        self.matcher = _compiled(pattern)
        self.fault = ""
        if self.matcher.is_error() or not any(self.matcher.compute_bitmask()):
            self.fault = one_line(" ".join(self.matcher.get_error().split()), 200) or "nothing can match it"


@lru_cache(maxsize=256)
def _known(pattern: str) -> _Known:
    return _Known(pattern)


def _compiled(pattern: str) -> Any:
    import llguidance  # only where a schema has a pattern

    grammar = llguidance.LLMatcher.grammar_from_json_schema(json.dumps({"type": "string", "pattern": pattern}))
    limits = llguidance.LLParserLimits(**_LIMITS)
    return llguidance.LLMatcher(llguidance.LLTokenizer("byte"), grammar, log_level=0, limits=limits)
