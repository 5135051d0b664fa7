"""The part of an evaluation's report that is about task sets."""

from pydantic import Field

from ropewalk.events.base import Value
from ropewalk.tasksets.definition import Split


class TaskSetSection(Value):
    """One task set as it was asked. Its estimates are those of the report with its name in `task_set`."""

    task_set: str
    content: str
    kind: str
    split: Split
    num_items: int = Field(description="that were asked")
    num_in_split: int
    num_clusters: int
    spread: dict[str, tuple[float, ...]] = Field(
        default_factory=dict, description="by metric: what the candidate gets with each template, the first one first"
    )
    opponent_spread: dict[str, tuple[float, ...]] = Field(default_factory=dict)
    num_spread: int = Field(default=0, description="items that the spread is measured on: the first in hash order")
    num_dropped: int = Field(description="training documents that gave an item away and were dropped; -1: not looked")
    scanned: str = Field(description="version of the dataset that was searched for it; empty: none was")
    definitions: dict[str, str]
    sheets: str = Field(default="", description="key of the folder with what people are to label; empty: nothing is")
    num_sheets: int = 0
    raters_each: int = Field(default=0, description="so many people are to label each sheet")
