"""The part of an evaluation's report that is about task sets."""

from pydantic import Field

from ropewalk.events.base import Value
from ropewalk.events.judge import JudgeAudited, JudgeSuspended
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
    judges: tuple[str, ...] = Field(
        default=(), description="whose scores the estimates rest on, beside people's labels"
    )
    judged_alone: dict[str, tuple[float, ...]] = Field(
        default_factory=dict, description="by metric: the judges' mean score of both, which is no measurement"
    )
    remarks: tuple[str, ...] = Field(default=(), description="on judges: who was left out, how pairs came out")
    num_labelled: int = Field(default=0, description="items whose labels count")
    labels_until: int = Field(default=0, description="sequence of the last label that was known")
    sheets: str = Field(default="", description="key of the folder with what people are to label; empty: nothing is")
    num_sheets: int = 0
    num_missing: int = Field(default=0, description="sheets that were not labelled by enough people")
    raters_each: int = Field(default=0, description="so many people are to label each sheet")
    audited: tuple[JudgeAudited, ...] = ()
    suspended: tuple[JudgeSuspended, ...] = ()
