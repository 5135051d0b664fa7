"""The evaluation family: estimates with their uncertainty, and the gate's decision."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ropewalk.events.base import Event, Growing, Request, Value
from ropewalk.events.moments import moment_of

NOT_KNOWN = -1
LABELLED = "labelled items"  # begins what an estimate counts where people said how good the answers are


class _Family(Value):
    family: ClassVar[str] = "evaluation"


class Estimate(Value):
    """A metric with its interval. `method` names how the interval was made, `num_items` its sample size.

    Estimates of one `quantity` are shown on one axis. A paired one is the candidate's gain over `subject` on the same
    items, where positive is better.
    """

    metric: str
    value: float
    lower: float
    upper: float
    level: float
    num_items: int
    method: str
    subject: str = ""
    role: Literal["primary", "guardrail", "shown"] = Field(default="shown", description="the part it plays in the gate")
    quantity: str = Field(default="", description="what is measured, in words: bits per byte")
    items: str = Field(default="items", description="what num_items counts, in words: held-out documents")
    unit: Literal["", "share"] = Field(default="", description="share: written as a percentage")
    better: Literal["lower", "higher"] = Field(default="lower", description="which values of the quantity are better")
    paired: bool = False
    num_clusters: int = Field(
        default=0, description="groups of items that vary together: files of a package, prompts of a file; 0: not known"
    )

    num_effective: float = Field(
        default=0.0, description="so many items that each stand alone would be as sure; 0: not known"
    )
    task_set: str = Field(default="", description="what was asked, with its version: copying@1; empty: held-out items")

    @property
    def sureness(self) -> str:
        """The level as a reader sees it: `95%`, `98.33%`."""
        return f"{100 * self.level:.4g}%"

    @property
    def sample(self) -> str:
        """What it rests on, in words."""
        groups = "" if self.num_clusters in (0, self.num_items) else f" in {self.num_clusters} clusters"
        return f"{self.num_items} {self.items}{groups}"

    def written(self, value: float) -> str:
        """A value of this quantity as a reader sees it: `1.873`, or `47%`."""
        return f"{100 * value:.3g}%" if self.unit == "share" else f"{value:.3f}"


class JudgeAgain(_Family, Request):
    """Judge once more what the deferred decision of a run is about, on more of what is held out."""

    name: ClassVar[str] = "judge_again"


class EvaluationReopened(_Family, Event):
    """A deferred decision is looked at once more. The report of this look is another one, and it is another try."""

    name: ClassVar[str] = "reopened"
    checkpoint_id: str
    look: int = Field(description="2 for the first one after the first judgement")


class EvaluationStarted(_Family, Event):
    """The evaluator began with a checkpoint's export."""

    name: ClassVar[str] = "started"
    checkpoint_id: str
    gate_set: str = Field(
        default="",
        description="what one budget of false promotions is counted for: the model and its version to beat, 0 if there "
        "is none, as `pycode/3`",
    )
    look: int = Field(default=1, description="which judgement of the checkpoint it is")


class EvaluationProgressed(_Family, Event):
    """A sign of life while the held-out examples of a task are asked."""

    name: ClassVar[str] = "progressed"
    checkpoint_id: str
    num_answers: int = Field(description="answers of all who are compared, so far")
    num_asked: int = Field(description="answers at the end, if there is time for all")


class EvaluationCompleted(_Family, Event):
    """All metrics of a checkpoint. The report at `uri` has every item's score."""

    name: ClassVar[str] = "completed"
    checkpoint_id: str
    uri: str
    estimates: tuple[Estimate, ...]
    num_held_out: int = Field(default=0, description="held-out documents of the run's dataset")
    num_seen_by_opponent: int = Field(
        default=NOT_KNOWN,
        description="those of them that the opponent learnt from, in none of the numbers; -1: not known",
    )


class GateDecided(_Family, Event):
    """May this checkpoint go into production? `comparison` is the paired difference it rests on.

    `deferred` is no end: another decision follows, by more evidence or at `decide_by_unix`.
    """

    name: ClassVar[str] = "gate_decided"
    checkpoint_id: str
    export_uri: str
    evaluation_uri: str
    decision: Literal["promote", "reject", "need_more"]
    reasons: tuple[str, ...]
    baseline: str
    comparison: Estimate
    gate_set: str = Field(default="", description="as in EvaluationStarted")
    try_number: int = Field(
        default=0, description="which checkpoint this is of those that the gate set judges; 0: not counted"
    )
    verdict: Annotated[Literal["", "deferred", "unknown"], Growing] = Field(
        default="", description="what `decision` has no word for; later releases may know more of them"
    )
    look: int = Field(default=1, description="which judgement of the checkpoint it is")
    decide_by_unix: float = Field(default=0.0, description="of a deferred decision: then it is no")
    judged_only: bool = Field(
        default=False, description="the recipe lets nobody promote it (`promotion.promote`); then decision is `reject`"
    )
    num_left: int = Field(
        default=NOT_KNOWN,
        description="items that another look could ask, of what kept it from a promotion; -1: not known",
    )

    @property
    def is_deferred(self) -> bool:
        """Whether another decision follows."""
        return self.verdict == "deferred"

    @property
    def waits_for(self) -> str:
        """What ends a deferral; empty for a decision."""
        if not self.is_deferred:
            return ""
        until = f"it waits for more until {moment_of(self.decide_by_unix):%Y-%m-%d %H:%M} UTC, then the answer is no"
        if self.comparison.items.startswith(LABELLED):
            task_set = self.comparison.task_set.partition("@")[0]
            asked = f"`ropewalk eval raters invite {task_set} NAME` makes a link for one"
            return f"{until}; it is judged again once people have labelled what is wanted ({asked})"
        return f"{until}; `ropewalk eval again {self.run_id}` judges it on more of what is held out"

    @property
    def word(self) -> str:
        """The decision as a reader sees it."""
        return self.verdict or ("judged only" if self.judged_only else self.decision)
