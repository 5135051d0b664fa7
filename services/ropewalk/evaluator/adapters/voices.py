"""Models that answer the examples of a task, each behind a prompt of its own. Needs torch."""

import math
from collections.abc import Callable, Sequence

from ropewalk.corpus.instruction import Turns, folded
from ropewalk.evaluator.adapters.batched_greedy import GreedyAnswers
from ropewalk.evaluator.adapters.paces import TokenPace, measure_pace
from ropewalk.evaluator.adapters.scoring import ScoredModel
from ropewalk.evaluator.domain.tasks import Item
from ropewalk.evaluator.ports import Continuation, ExampleAnswer
from ropewalk.model.chat.errors import ChatTemplateError
from ropewalk.model.tokenizer import decode


class Voice:
    """A scorer that answers, and nothing else. `told` is what the model reads of a question.

    It answers until a second of the monotonic clock, and raises TimeoutError after it. An answer ends before the first
    of `ends`. A text that is no conversation is continued.
    """

    def __init__(
        self,
        model: ScoredModel,
        told: Callable[[Turns], Turns],
        max_answer_tokens: int,
        until: float = math.inf,
        ends: Sequence[str] = (),
    ) -> None:
        self._ends = ends
        self._model, self._told, self._most, self._until = model, told, max_answer_tokens, until
        self._greedy: GreedyAnswers | None = None
        self._pace: TokenPace | None = None
        self._prompts: dict[Item, list[int]] = {}
        self._answers: dict[Item, ExampleAnswer] = {}

    def num_unfit(self, items: Sequence[Item]) -> int:
        """Prompts that were not asked, because the context has no room for them and an answer."""
        return sum(not self._answers[item].fits for item in items)

    def takes(self, item: Item) -> bool:
        """Whether the chat template takes the question."""
        try:
            return bool(self._prompt(item))
        except ChatTemplateError:
            return False

    def bits(self, items: Sequence[Item]) -> None:
        """Nothing."""

    def margins(self, items: Sequence[Item]) -> None:
        """Nothing."""

    def complete(self, items: Sequence[Item]) -> list[Continuation] | None:
        """Nothing."""

    def answers(self, items: Sequence[Item], on_ended: Callable[[int], None] = lambda _: None) -> list[ExampleAnswer]:
        """Greedy and unconstrained; asked once, however many metrics look at them."""
        new = [item for item in items if item not in self._answers]
        fitting = self._fitting(new)
        prompts = [self._prompt(item) for item in fitting]
        if prompts and self._pace is None:
            self._pace = measure_pace(self._model.model, prompts)
        pace = self._pace or TokenPace()
        said = (self._greedy or self.expect(new)).to(prompts, self._until, on_ended)
        self._answers |= {item: self._answer(self._prompt(item), None, pace) for item in new}
        for item, ids in zip(fitting, said, strict=True):
            self._answers[item] = self._answer(self._prompt(item), ids, pace)
        return [self._answers[item] for item in items]

    def expect(self, items: Sequence[Item]) -> GreedyAnswers:
        """Read what the prompts of all these begin with; the others that are asked must begin so, too."""
        prompts = [self._prompt(item) for item in self._fitting(items)]
        self._greedy = GreedyAnswers(self._model.model, prompts, self._most, self._model.end_ids)
        return self._greedy

    def _fitting(self, items: Sequence[Item]) -> list[Item]:
        context = int(self._model.model.config.get_text_config().max_position_embeddings)
        return [item for item in items if len(self._prompt(item)) + self._most <= context]

    def _answer(self, prompt: list[int], said: list[int] | None, pace: TokenPace) -> ExampleAnswer:
        ids = [token for token in said or () if token not in self._model.end_ids]
        num_read, num_written = (0, 0) if said is None else (len(prompt), len(ids))
        return ExampleAnswer(
            text=_before(decode(self._model.tokenizer, ids), self._ends),
            prompt_tokens=len(prompt),
            answer_tokens=len(ids),
            seconds=num_read * pace.read + num_written * pace.write,
            core_seconds=num_read * pace.core_read + num_written * pace.core_write,
            fits=said is not None,
        )

    def _prompt(self, item: Item) -> list[int]:
        """Raises ChatTemplateError."""
        if item not in self._prompts and not item.turns:
            self._prompts[item] = self._model.ids(item)
        if item not in self._prompts:
            turns = self._told(item.turns)
            try:
                self._prompts[item] = self._model.prompt_ids(turns)
            except ChatTemplateError:
                if not any(turn.role == "user" for turn in turns):
                    raise
                self._prompts[item] = self._model.prompt_ids(folded(turns))
        return self._prompts[item]


def _before(text: str, ends: Sequence[str]) -> str:
    places = [place for end in ends if (place := text.find(end)) >= 0]
    return text[: min(places)] if places else text
