"""The sealed report of an evaluation, as it lies in the object store: its numbers, and what every item scored."""

from collections.abc import Iterator, Sequence
from itertools import islice

from pydantic import Field

from ropewalk.bus.codec import Stored
from ropewalk.client.errors import ClientError
from ropewalk.events.base import Message, Value
from ropewalk.events.evaluation import Estimate, GateDecided
from ropewalk.storage.errors import StorageError
from ropewalk.storage.objects import ObjectStore
from ropewalk.tasksets.section import TaskSetSection

_MOST_BYTES, _MOST_ROWS = 64 * 1024 * 1024, 1_000_000


class SealedReport(Value):
    """`report.json`. `bounds` are by metric that decides: what its estimate must be above, or at least."""

    run_id: str
    checkpoint_id: str
    dataset_version: str = ""
    evalset_uri: str = ""
    seed: int = 0
    num_held_out: int = 0
    estimates: tuple[Estimate, ...]
    comparison: Estimate
    baseline: str
    margin: float
    bounds: dict[str, float] = Field(default_factory=dict)
    try_number: int = 0
    look: int = 1
    task_sets: tuple[TaskSetSection, ...] = ()

    @property
    def levels(self) -> list[Estimate]:
        """Of the candidate, then of whom it was compared with."""
        return [each for each in self.estimates if not each.paired]

    @property
    def gains(self) -> list[Estimate]:
        """Paired differences, the one that decides first."""
        return [self.comparison, *(each for each in self.estimates if each.paired)]

    def bound(self, estimate: Estimate) -> float | None:
        """What the gate asks of it; None where it asks nothing, or an older report does not say."""
        return self.margin if estimate.role == "primary" else self.bounds.get(estimate.metric)


def what(estimate: Estimate) -> str:
    """What is measured, with the task set that was asked."""
    asked, quantity = estimate.task_set, estimate.quantity
    return quantity if asked in quantity else f"{quantity} ({asked})"


class ScoredRow(Value):
    """A line of `scores.jsonl`: one metric about one item, by scorer. Of sealed items nothing that was said is kept."""

    metric: str
    item_id: str
    path: str = ""
    cluster: str
    num_bytes: int = 0
    values: dict[str, float]
    prompt_end: str = ""
    said: dict[str, str] = Field(default_factory=dict)


def decision_of(timeline: Sequence[Stored[Message]], look: int = 0) -> GateDecided:
    """The newest decision of a run, or of one of its looks. Raises ClientError where there is none."""
    decided = [stored.message for stored in timeline if isinstance(stored.message, GateDecided)]
    if not decided:
        raise ClientError("the run has no evaluation yet: `ropewalk watch` shows how far it is")
    found = [each for each in decided if each.look == look] if look else decided
    if not found:
        looks = ", ".join(str(number) for number in sorted({each.look for each in decided}))
        raise ClientError(f"--look is {look}, and this run was judged in these looks: {looks}")
    return found[-1]


def read_sealed(objects: ObjectStore, uri: str) -> SealedReport:
    """Raises ClientError where it is lost or unreadable."""
    try:
        path = objects.fetch(uri) / "report.json"
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError(f"report.json is larger than {_MOST_BYTES >> 20} MB")
        return SealedReport.model_validate_json(path.read_bytes())
    except (StorageError, OSError, ValueError) as error:
        raise ClientError(f"the report of the evaluation cannot be read: {str(error)[:200]}") from None


def read_rows(objects: ObjectStore, uri: str) -> Iterator[ScoredRow]:
    """What every item scored. Raises ClientError as above."""
    try:
        with (objects.fetch(uri) / "scores.jsonl").open("rb") as lines:
            for line in islice(lines, _MOST_ROWS):
                yield ScoredRow.model_validate_json(line)
    except (StorageError, OSError, ValueError) as error:
        raise ClientError(f"the scores of the evaluation cannot be read: {str(error)[:200]}") from None
