"""The score family: what every item of an evaluation scored. Kept for ten years in the stream `SCORES`."""

from typing import ClassVar

from pydantic import Field

from ropewalk.events.base import Message, Plane, Value

MOST_SCORES = 1_000  # of one message


class ScoredItem(Value):
    """One item. Items of one cluster vary together."""

    item_id: str
    cluster: str
    num_bytes: int = Field(default=0, description="of the item")
    value: float


class ScoreBatch(Message):
    """A part of the scores of one metric by one model.

    A share or a number of each item; of bits per byte and the perplexities the bits of the item, whose sum over that of
    the bytes is the metric.
    """

    plane: ClassVar[Plane] = "log"
    family: ClassVar[str] = "score"
    name: ClassVar[str] = "batch"
    checkpoint_id: str
    look: int = Field(description="which judgement of the checkpoint it is")
    metric: str
    task_set: str = Field(description="what was asked, with its version: copying@1; empty: held-out items")
    scorer: str = Field(description="whose scores these are: candidate, production, base_model or an n-gram model")
    first: int = Field(description="how many scores of this metric and scorer came before, in other messages")
    scores: tuple[ScoredItem, ...] = Field(max_length=MOST_SCORES)
