"""Where in a rendered conversation the assistant speaks.

A template with `{% generation %}` says it. For another one, each answer is rendered once more with one strange
character in its place, and what differs is the answer. What a model must say itself is more than that: it begins
where the generation prompt ends (a think block that the template adds belongs to it) and ends with the end token.
"""

from collections.abc import Sequence
from typing import Any

from ropewalk.model.chat.environment import ChatTemplate
from ropewalk.model.chat.errors import ChatTemplateError, NoAnswerFoundError
from ropewalk.model.chat.marks import Marked, MarkFinder
from ropewalk.model.chat.task import CharSpan, Messages

_STRANGE = "\u2400\u2401\u2402\u2403\u2404\u2405\u2406\u2407\u2408\u2409\u240a\u240b\u240c\u240d\u240e"


class AnswerFinder:
    """For one template."""

    def __init__(self, template: ChatTemplate, marks: MarkFinder) -> None:
        self._template = template
        self._marks = marks

    def learnt(self, messages: Messages, marked: Marked) -> tuple[CharSpan, ...]:
        """What counts in training: answers with their end tokens. Raises NoAnswerFoundError, ChatTemplateError."""
        places = [place for place, message in enumerate(messages) if message.get("role") == "assistant"]
        if self._template.has_generation:
            found: Sequence[CharSpan | None] = marked.rendered.generated
            if len(found) != len(places) and not all(_weight(messages[place]) for place in places):
                raise NoAnswerFoundError("which of the template's generations is an answer of weight 0 is not clear")
            places = places if len(found) == len(places) else []
        else:
            found = self._by_difference(messages, places, marked.rendered.text)
        weights = [_weight(messages[place]) for place in places] or [1] * len(found)
        spans = [span for span, weight in zip(found, weights, strict=True) if weight and span and span[0] < span[1]]
        if not spans:
            raise NoAnswerFoundError("the chat template shows none of the assistant's answers")
        return tuple(spans)

    def content(self, messages: Messages, place: int, text: str) -> CharSpan | None:
        """Where the content of a message is shown; nothing, if it is not shown. Raises NoAnswerFoundError."""
        strange = next((one for one in _STRANGE if one not in text), None)
        if strange is None:
            raise NoAnswerFoundError("the conversation holds too many strange characters")
        changed = [*messages[:place], {**messages[place], "content": strange}, *messages[place + 1 :]]
        before, shown, after = self._template.render(changed, answer_follows=False).text.partition(strange)
        if not shown:
            return None
        begin = _common(before, text)
        end = len(text) - len(after)
        if strange in after or not text.endswith(after) or begin > end:
            raise NoAnswerFoundError(f"the chat template does not show turn {place} as one piece")
        return begin, end

    def _by_difference(self, messages: Messages, places: Sequence[int], text: str) -> list[CharSpan | None]:
        if not places:
            return []
        opening, closing = self._opening(messages, places[0]), self._closing(messages, places[0])
        spans: list[CharSpan | None] = []
        floor = 0  # an answer begins after the one before
        for place in places:
            span = self.content(messages, place, text)
            if span is not None:
                begin, end = span
                opened = text.rfind(opening, floor, begin) if opening else -1
                begin = opened + len(opening) if opened >= 0 else begin
                end += len(closing) if text.startswith(closing, end) else 0
                span, floor = (begin, end), end
            spans.append(span)
        return spans

    def _opening(self, messages: Messages, first: int) -> str:
        """The generation prompt."""
        before = messages[:first] or messages
        try:
            without = self._template.render(before, answer_follows=False).text
            prompt = self._template.render(before, answer_follows=True).text
        except ChatTemplateError:
            return ""
        return prompt[_common(without, prompt) :]

    def _closing(self, messages: Messages, first: int) -> str:
        """What the template writes behind an answer, up to and with the first mark; empty if that is no end token."""
        strange = _STRANGE[0]
        said = [*messages[:first], {**messages[first], "content": strange}]
        try:
            marked = self._marks.find(said, answer_follows=False)
        except ChatTemplateError:
            return ""
        text = marked.rendered.text
        end = text.rfind(strange) + 1
        mark = next((mark for mark in marked.marks if mark[0] >= end), None)
        return text[end : mark[1]] if end and mark and not text[end : mark[0]].strip() else ""


def _weight(message: dict[str, Any]) -> int:
    return int(message.get("weight", 1))


def _common(one: str, other: str) -> int:
    """The length of the longest text that both begin with."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[low:middle] == other[low:middle] else (low, middle - 1)
    return low
