"""Programs that models write, with the word of their tests."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from ropewalk.evaluator.adapters.sandbox import Sandbox
from ropewalk.evaluator.adapters.voices import Voice
from ropewalk.evaluator.domain.tasks import Item
from ropewalk.evaluator.ports import ExampleAnswer

_FENCED = re.compile(r"```(?:python|py)?\n(.*?)(?:\n```|\Z)", re.DOTALL)


class ProgramVoice(Voice):
    """A voice whose answers are run with the tests of their items (`reference`), once each."""

    def answers(self, items: Sequence[Item], on_ended: Callable[[int], None] = lambda _: None) -> list[ExampleAnswer]:
        """See Voice."""
        new = [item for item in items if item not in self._answers]
        said = {item: each for item, each in zip(new, super().answers(new, on_ended), strict=True) if each.fits}
        passed = Sandbox().all_pass([program(item, each.text) for item, each in said.items()])
        self._answers |= {item: replace(said[item], passed=word) for item, word in zip(said, passed, strict=True)}
        return [self._answers[item] for item in items]


def program(item: Item, answer: str) -> str:
    """Prompt, answer and tests; of a chat the answer's first block of code in place of the first two."""
    if item.turns:
        block = _FENCED.search(answer)
        written = block[1] if block else answer
    else:
        written = item.text + answer
    return f"{written}\n\n{item.reference}\n"
