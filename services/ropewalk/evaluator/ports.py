"""What the evaluator needs of others, as small as it uses it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from ropewalk.evaluator.domain.tasks import Item

MAX_NEW_TOKENS = 48  # of one continuation


@dataclass(frozen=True)
class Continuation:
    """What the model said. `ended`: it stopped by itself."""

    text: str
    ended: bool


@dataclass(frozen=True, kw_only=True)
class ExampleAnswer:
    """What was answered to an example, and what it takes: `seconds` alone, `core_seconds` at full batch.

    `fits`: the context had room; else nothing was asked. `passed`: it is a program, and its tests said yes.
    """

    text: str
    prompt_tokens: int
    answer_tokens: int
    seconds: float
    core_seconds: float
    fits: bool = True
    passed: bool = False


class Scorer(Protocol):
    """Something that reads and continues items: a model in a child process, or an n-gram, which only reads.

    The answers are in the order of the items; None says that this scorer cannot do it at all. An endpoint fits, too:
    `complete` is its completions, and `bits` are the log-probabilities that it echoes, or None where it echoes none.
    """

    def takes(self, item: Item) -> bool:
        """Whether it can read the item; a chat template may refuse a conversation."""
        ...

    def bits(self, items: Sequence[Item]) -> Sequence[float] | None:
        """The negative log2-likelihood of each item."""
        ...

    def margins(self, items: Sequence[Item]) -> Sequence[float] | None:
        """By how many nats the chosen answer of each pair is likelier than the rejected one."""
        ...

    def complete(self, items: Sequence[Item]) -> Sequence[Continuation] | None:
        """The likeliest continuation of each item."""
        ...

    def answers(self, items: Sequence[Item]) -> Sequence[ExampleAnswer] | None:
        """The whole answer to each example of a task."""
        ...


@runtime_checkable
class Chooser(Protocol):
    """What a scorer is besides where it can tell choices apart."""

    def likelihoods(self, items: Sequence[Item]) -> Sequence[Sequence[float]]:
        """The log-likelihood of every choice of each item behind its text, in nats."""
        ...
