"""Whether a text has the form of a JSON Schema's `pattern`, decided by what holds answers to it when they are written.

llguidance follows a regular expression by its derivatives: in one pass over the text, whatever the expression, and
without look-around, back-references and word boundaries. So what is written under a schema fits the schema here.
"""

import json
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
    matcher = _compiled(pattern)
    if not matcher.is_error() and any(matcher.compute_bitmask()):
        return ""
    return one_line(" ".join(matcher.get_error().split()), 200) or "nothing can match it"


def has_form(text: str, pattern: str) -> bool:
    """Whether the pattern matches somewhere in the text, as JSON Schema has it; not, if that takes too much."""
    try:
        body = list(json.dumps(text, ensure_ascii=False).encode())
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    matcher = _compiled(pattern).deep_copy()
    return matcher.try_consume_tokens(body) == len(body) and matcher.is_accepting()


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> Any:
    import llguidance  # only where a schema has a pattern

    grammar = llguidance.LLMatcher.grammar_from_json_schema(json.dumps({"type": "string", "pattern": pattern}))
    limits = llguidance.LLParserLimits(**_LIMITS)
    return llguidance.LLMatcher(llguidance.LLTokenizer("byte"), grammar, log_level=0, limits=limits)
