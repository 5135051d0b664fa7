"""What a model is asked: items, and sets of them."""

import re
from dataclasses import dataclass, replace

from ropewalk.corpus.document import ChatMessage


@dataclass(frozen=True)
class Item:
    """A text or a conversation, to be read or to be continued.

    Items with the same `cluster_key` vary together: see `clusters`. `reference` is what a metric holds the model's
    answer against, in that metric's own form. `rejected` is an answer that is worse than the last turn. `choices` are
    told apart by their likelihood behind the text; `references` are all that is right.
    """

    item_id: str
    path: str
    text: str = ""
    turns: tuple[ChatMessage, ...] = ()
    doc_id: str = ""
    split_key: str = ""
    reference: str = ""
    source_id: str = ""
    cluster_key: str = ""
    rejected: str = ""
    choices: tuple[str, ...] = ()
    references: tuple[str, ...] = ()

    @property
    def cluster(self) -> str:
        """What varies as a whole."""
        return self.cluster_key or self.split_key or self.path

    @property
    def num_bytes(self) -> int:
        """The bytes that are scored: the text, or the answers of a conversation."""
        if not self.turns:
            return len(self.text.encode())
        return sum(len(turn.content.encode()) for turn in self.turns if turn.role == "assistant")

    @property
    def num_words(self) -> int:
        """Of the text, as lm-evaluation-harness counts them."""
        return len(re.split(r"\s+", self.text))

    @property
    def pair(self) -> tuple[tuple[ChatMessage, ...], tuple[ChatMessage, ...]]:
        """The turns with the chosen and with the rejected answer, which alone counts of all answers."""
        *before, chosen = (replace(turn, weight=0) for turn in self.turns)
        answers = (replace(chosen, weight=1, content=content) for content in (chosen.content, self.rejected))
        first, second = ((*before, answer) for answer in answers)
        return first, second

    @property
    def shown(self) -> str:
        """What a reader sees before the model's continuation."""
        return "".join(f"{turn.role}: {turn.content}\n" for turn in self.turns) or self.text


@dataclass(frozen=True)
class TaskSet:
    """Items that are asked together. `name` says in words what they are: `held-out documents`."""

    name: str
    items: tuple[Item, ...]
