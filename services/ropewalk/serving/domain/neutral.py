"""Fields of OpenAI's API (and of vLLM's extensions) that we have not, and the values with which they change nothing.

Clients fill in every field they know, so null and the neutral value are accepted; any other value is refused by
name, for an answer without it would not be what was asked for. A field nobody knows is refused, too, unless it is
null: a misspelt `temperature` must not vanish.
"""

import difflib
from collections.abc import Collection, Mapping
from typing import Any

from ropewalk.events.foreign import cut, quoted
from ropewalk.serving.errors import ServingError


class RequestError(ServingError, ValueError):
    """The body is not a request we can honour. `param` is the field."""

    def __init__(self, message: str, param: str) -> None:
        super().__init__(message)
        self.param = param


Neutral = Mapping[str, tuple[Any, ...]]

COMMON: Neutral = {
    "n": (1,),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "repetition_penalty": (1,),
    "length_penalty": (1,),
    "min_p": (0,),
    "min_tokens": (0,),
    "logit_bias": ({},),
    "store": (False,),
    "service_tier": ("auto", "default"),
    "use_beam_search": (False,),
    "skip_special_tokens": (True,),
    "spaces_between_special_tokens": (True,),
    "include_stop_str_in_output": (False,),
    "stop_token_ids": ([],),
    "prompt_logprobs": (False, 0),
    "logprobs": (False,),
    "echo": (False,),
    "add_special_tokens": (False,),
    "truncate_prompt_tokens": (),
}

COMPLETION: Neutral = {**COMMON, "best_of": (1,), "suffix": ("",)}

CHAT: Neutral = {
    **COMMON,
    "top_logprobs": (0,),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "parallel_tool_calls": (True, False),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "modalities": (["text"],),
    "audio": (),
    "moderation": (),
    "prediction": (),
    "reasoning_effort": ("none",),
    "verbosity": ("medium",),
    "web_search_options": (),
    "add_generation_prompt": (True,),
    "continue_final_message": (False,),
    "documents": ([],),
    "chat_template": (),
    "chat_template_kwargs": ({},),
}

STREAM_OPTIONS: Neutral = {"include_obfuscation": (False,), "continuous_usage_stats": (False,)}

MESSAGE: Neutral = {
    "type": ("text", "message"),
    "name": (),
    "tool_calls": ([],),
    "tool_call_id": (),
    "function_call": (),
    "refusal": (),
    "audio": (),
    "annotations": ([],),
    "reasoning": ("",),
    "reasoning_content": ("",),
}

PART: Neutral = {"annotations": ([],), "cache_control": ()}


def without_neutral(given: Mapping[str, Any], known: Collection[str], neutral: Neutral, place: str = "") -> Any:
    """The fields that say something, of those that are `known`. Raises RequestError for what is not to be had.

    `place` goes before the field's name in errors: `messages.3.`, say.
    """
    said = {}
    for name, value in given.items():
        if value is None:
            continue
        if name in known:
            said[name] = value
        elif name not in neutral:
            raise RequestError(_unknown(name, known, neutral, place), cut(place + name))
        elif not any(_same(value, harmless) for harmless in neutral[name]):
            raise RequestError(
                f"the field {place + name!r} has the value {quoted(value)}, which is not supported here: leave it out",
                place + name,
            )
    return said


def _unknown(name: str, known: Collection[str], neutral: Neutral, place: str) -> str:
    near = difflib.get_close_matches(name[:40], [*known, *neutral], n=1)
    remedy = f"did you mean {near[0]!r}?" if near else "leave it out"
    return f"the field {quoted(place + name)} is not known: {remedy}"


def _same(value: Any, harmless: Any) -> bool:
    """Equal as JSON: 0.0 is 0, but false is not."""
    return isinstance(value, bool) == isinstance(harmless, bool) and bool(value == harmless)
