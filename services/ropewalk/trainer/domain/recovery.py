"""A worker group died: why, and is it worth another attempt? Pure: symptoms in, decision out.

Ray only counts failures. Here every cause has its own budget and back-off, and a group that dies again and again
without one new step is given up early, because its next attempt would die there too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

AttemptCause = Literal[
    "worker_lost",
    "out_of_memory",
    "disk_full",
    "not_finite",
    "stalled",
    "pre_emption",
    "hang",
    "crashed",
    "node_lost",
    "poison",
    "cluster",
    "error",
    "user_error",
]

MAX_FRUITLESS = 3  # attempts in a row without a new step; the figure of NVIDIA's resiliency extension
_MAX_DELAY_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Symptom:
    """What one rank (or the controller, or the watch) showed when the group ended."""

    kind: Literal[
        "died",
        "out_of_memory",
        "raised",
        "refused",
        "stalled",
        "pre_empted",
        "hang",
        "crashed",
        "node_lost",
        "poison",
        "cluster",
    ]
    text: str
    rank: int = -1  # who showed it; -1: it is not one rank's


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """The one cause of a loss, with the words that led to it."""

    cause: AttemptCause
    detail: str
    ranks: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PostMortem:
    """What else is known of a loss. `ranks` brought it about in `phase`; empty where nobody saw it.

    `last_steps` is by rank, `seconds_lost` the work since `checkpoint_id`, which the next attempt begins with if it
    still verifies, and `stacks_uri` the key of a folder with what every rank did.
    """

    ranks: tuple[int, ...] = ()
    phase: str = ""
    last_steps: tuple[int, ...] = ()
    stacks_uri: str = ""
    seconds_lost: float = 0.0
    checkpoint_id: str = ""


@dataclass(frozen=True, kw_only=True)
class Loss:
    """One attempt that did not reach the end. `last_step` is the last one it took; the one before its first if none."""

    attempt: int
    cause: AttemptCause
    detail: str
    start_step: int
    last_step: int
    time_unix: float  # its last sign of life
    found: PostMortem = PostMortem()

    @property
    def steps_done(self) -> int:
        """The step it would have taken next."""
        return self.last_step + 1


@dataclass(frozen=True)
class TryAgain:
    """Start a new group from the newest whole checkpoint after `delay_s`."""

    delay_s: float


@dataclass(frozen=True)
class GiveUp:
    """Another attempt would not help. `message` is one sentence for the run's owner."""

    message: str


@dataclass(frozen=True)
class _Budget:
    attempts: int
    first_delay_s: float
    remedy: str


_BUDGETS: dict[AttemptCause, _Budget] = {
    "worker_lost": _Budget(50, 0.0, "look for what kills the workers"),
    "out_of_memory": _Budget(2, 5.0, "choose a smaller size or fewer workers, or add memory"),
    "disk_full": _Budget(2, 5.0, "free disk space and submit the run again"),
    "not_finite": _Budget(1, 0.0, "lower the learning rates or look at the data near that step"),
    "pre_emption": _Budget(100, 0.0, "train where machines are not taken away so often"),
    "stalled": _Budget(3, 1.0, "look at the machine: a worker hung without an error"),
    "hang": _Budget(5, 1.0, "look at the stacks of that rank, and at its machine"),
    "crashed": _Budget(5, 1.0, "look at the memory of the machine and at the driver: a worker broke in native code"),
    "node_lost": _Budget(20, 2.0, "look for what takes the machines away"),
    "poison": _Budget(3, 0.0, "look at the samples that are named, and leave them out"),
    "cluster": _Budget(5, 2.0, "look at the Ray cluster"),
    "error": _Budget(2, 1.0, "read the detail in the trainer's log"),
    "user_error": _Budget(0, 0.0, "correct it and submit the run again"),
}

# The first that applies is the cause; what comes later may be its consequence.
_ORDER: tuple[AttemptCause, ...] = (
    "user_error",
    "disk_full",
    "out_of_memory",
    "not_finite",
    "poison",
    "hang",
    "stalled",
    "pre_emption",
    "crashed",
    "node_lost",
    "error",
    "worker_lost",
    "cluster",
)
_DISK_MARKS = ("no space left on device", "disk quota exceeded", "disk is full")
_MARKS: tuple[tuple[AttemptCause, tuple[str, ...]], ...] = (
    ("disk_full", _DISK_MARKS),
    ("out_of_memory", ("out of memory", "can't allocate memory", "cannot allocate memory", "memoryerror")),
    ("not_finite", ("not finite", "non-finite", "loss is nan")),
    ("worker_lost", ("connection reset", "connection closed", "connection refused", "broken pipe", "gloo", "nccl")),
)


def diagnose(symptoms: Sequence[Symptom]) -> Diagnosis:
    """The cause behind what all ranks showed."""
    first_hand = sorted(symptoms, key=lambda symptom: symptom.kind == "raised")  # a rank that lost its peer raises, too
    found = {_cause_of(symptom): symptom for symptom in reversed(first_hand)}
    for cause in _ORDER:
        if (main := found.get(cause)) is not None:
            alike = {each.rank for each in symptoms if (each.kind, _cause_of(each)) == (main.kind, cause)}
            return Diagnosis(cause=cause, detail=main.text, ranks=tuple(sorted(alike - {-1})))
    return Diagnosis(cause="cluster", detail="the worker group ended without a word")


def _cause_of(symptom: Symptom) -> AttemptCause:
    match symptom.kind:
        case "died":
            return "worker_lost"
        case "pre_empted":
            return "pre_emption"
        case "refused":
            return "disk_full" if any(mark in symptom.text.lower() for mark in _DISK_MARKS) else "user_error"
        case "out_of_memory" | "stalled" | "hang" | "crashed" | "node_lost" | "poison" | "cluster":
            return symptom.kind
        case "raised":
            lowered = symptom.text.lower()
            return next((cause for cause, marks in _MARKS if any(mark in lowered for mark in marks)), "error")


def decide(losses: Sequence[Loss]) -> TryAgain | GiveUp:
    """What to do after the last of these losses (oldest first)."""
    last = losses[-1]
    budget = _BUDGETS[last.cause]
    if last.cause == "user_error":
        return GiveUp(f"training cannot start or go on: {last.detail}")
    fruitless = _fruitless(losses)
    if fruitless >= MAX_FRUITLESS:
        return GiveUp(
            f"training died {fruitless} times in a row without a step beyond {last.steps_done} "
            f"({_words(last)}): {budget.remedy}"
        )
    num_alike = sum(loss.cause == last.cause for loss in losses)
    if num_alike > budget.attempts:
        return GiveUp(f"training was lost {num_alike} times ({_words(last)}): {budget.remedy}")
    if fruitless == 0:
        return TryAgain(budget.first_delay_s)
    return TryAgain(min(_MAX_DELAY_S, max(1.0, budget.first_delay_s) * 2.0 ** (fruitless - 1)))


def _fruitless(losses: Sequence[Loss]) -> int:
    """How many attempts at the end of the list got no further than any before them."""
    frontier, count = losses[0].start_step, 0
    for loss in losses:
        count = 0 if loss.steps_done > frontier else count + 1
        frontier = max(frontier, loss.steps_done)
    return count


def _words(loss: Loss) -> str:
    return f"{loss.cause.replace('_', ' ')}: {loss.detail}" if loss.detail else loss.cause.replace("_", " ")
