"""Which marks of a rendered text the template wrote, and which somebody only typed.

The messages are rendered twice: as they are, and with every character that could begin a mark hidden behind a
harmless one of the same length. Where the second text has a mark, the template wrote it. Both texts must agree in
everything but the hidden characters. A template that looks for words in the messages (`</think>`, say) makes them
differ; then the words that it spells itself are left as they are, so that it finds them.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ropewalk.model.chat.environment import ChatTemplate, Rendered
from ropewalk.model.chat.errors import ChatTemplateError
from ropewalk.model.chat.task import CharSpan

_HARMLESS = "~^_=`;aeiou"  # the first of these that is in no mark stands for the hidden characters
_WORD = 3  # characters; shorter constants of a template are no words to look for


@dataclass(frozen=True)
class Marked:
    """A rendered text with the places of the tokens that are meant; `spelled` are marks that are only written."""

    rendered: Rendered
    marks: tuple[CharSpan, ...]
    spelled: tuple[str, ...]


class MarkFinder:
    """The marks of one tokenizer and one template: `special` tokens, and `ordinary` ones that the template spells."""

    def __init__(self, template: ChatTemplate, special: Sequence[str], ordinary: Sequence[str]) -> None:
        self._template = template
        special, ordinary = ([token for token in tokens if not token.isspace()] for tokens in (special, ordinary))
        control = [*special, *(token for token in ordinary if token in template.literals)]
        self._control = _pattern(control)
        self._others = _pattern(token for token in ordinary if token not in control)
        self._firsts = "".join(sorted({token[0] for token in control}))
        self._harmless = next(one for one in _HARMLESS if not any(one in token for token in control))
        words = [text for text in template.constants if len(text) >= _WORD and not _pattern(special).search(text)]
        self._words = _pattern(text for text in words if any(first in text for first in self._firsts))
        self._special = _pattern(special)

    def find(self, messages: Sequence[dict[str, Any]], *, answer_follows: bool) -> Marked:
        """Render and tell the marks apart. Raises ChatTemplateError."""
        rendered = self._template.render(messages, answer_follows=answer_follows)
        twin = self._twin(messages, rendered.text, answer_follows)
        control = [match.span() for match in self._control.finditer(twin)]
        ours = set(control)
        spelled = {match[0] for match in self._control.finditer(rendered.text) if match.span() not in ours}
        marks = sorted([*control, *self._between(rendered.text, control)])
        return Marked(rendered, tuple(marks), tuple(sorted(spelled)))

    def _twin(self, messages: Sequence[dict[str, Any]], text: str, answer_follows: bool) -> str:
        """The text with every mark hidden that is not the template's."""
        for kept in (_pattern(()), self._words):
            hidden = [self._hidden(message, kept) for message in messages]
            if hidden == list(messages):
                return text
            try:
                twin = self._template.render(hidden, answer_follows=answer_follows).text
            except ChatTemplateError:  # it looked for something that is hidden now
                continue
            if self._flat(twin) == self._flat(text):
                return twin
        if typed := self._typed(list(messages)):
            raise ChatTemplateError(
                f"a message spells {typed!r}, and the chat template changes the message in a way that hides whether "
                "it is meant: leave it out"
            )
        return text

    def _hidden(self, message: dict[str, Any], kept: re.Pattern[str]) -> dict[str, Any]:
        """A message that cannot begin a mark, but for the `kept` words. The role stays: templates go by it."""
        if not self._firsts:
            return message
        pattern = re.compile(
            f"(?P<special>{self._special.pattern})|(?P<kept>{kept.pattern})|[{re.escape(self._firsts)}]"
        )

        def replaced(match: re.Match[str]) -> str:
            return match[0] if match.lastgroup == "kept" else self._flat(match[0])

        return {name: value if name == "role" else _mapped(value, pattern, replaced) for name, value in message.items()}

    def _flat(self, text: str) -> str:
        return text.translate({ord(first): self._harmless for first in self._firsts})

    def _typed(self, value: Any) -> str:
        """The first mark in the strings of a value."""
        if isinstance(value, str):
            found = self._control.search(value)
            return found[0] if found else ""
        parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        return next((typed for part in parts if (typed := self._typed(part))), "")

    def _between(self, text: str, marks: Sequence[CharSpan]) -> Iterator[CharSpan]:
        """Added tokens that are no marks are tokens wherever they stand."""
        begin = 0
        for mark in [*marks, (len(text), len(text))]:
            yield from (match.span() for match in self._others.finditer(text, begin, mark[0]))
            begin = mark[1]


def _mapped(value: Any, pattern: re.Pattern[str], replaced: Any) -> Any:
    if isinstance(value, str):
        return pattern.sub(replaced, value)
    if isinstance(value, list):
        return [_mapped(part, pattern, replaced) for part in value]
    if isinstance(value, dict):
        return {name: _mapped(part, pattern, replaced) for name, part in value.items()}
    return value


def _pattern(tokens: Iterable[str]) -> re.Pattern[str]:
    """Any of the tokens, the longest first; no token matches nothing."""
    return re.compile("|".join(re.escape(token) for token in sorted(tokens, key=len, reverse=True)) or "(?!)")
