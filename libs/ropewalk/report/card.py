"""What a report card says. Values only; None or an empty tuple means that the log does not say."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from ropewalk.corpus.ledger import LedgerVerdict
from ropewalk.events.checkpoint import ParityCertified
from ropewalk.events.data import CorpusIngested, DatasetPublished, TokenizerTrained
from ropewalk.events.evaluation import Estimate, GateDecided
from ropewalk.events.monitoring import AlarmRaised
from ropewalk.events.training import (
    SearchCompleted,
    TrainingCompleted,
    TrainingSample,
    TrainingStarted,
    TrialCompleted,
)
from ropewalk.usecases.comparison import CANDIDATE, TaskSection

RUN_STAGES = ("ingest", "preprocess", "search", "train", "export", "evaluate", "deploy", "promote")  # of every run
STAGES = ("stack", *RUN_STAGES, "traffic", "watch", "report")  # the others are the demo's own


@dataclass(frozen=True, kw_only=True)
class StageLine:
    """One stage. `begin_s` counts from the first event of the run; `usd` is None until it was priced.

    `seconds` are those of its completed attempts; of a stage that none completed, those until the run ended.
    """

    name: str
    begin_s: float
    seconds: float
    cpu_seconds: float
    usd: float | None
    num_completed: int


@dataclass(frozen=True, kw_only=True)
class LossPoint:
    """Training loss in nats per token at a step. `attempt` grows with every loss of the workers."""

    attempt: int
    step: int
    loss: float


@dataclass(frozen=True, kw_only=True)
class Interruption:
    """The workers died. `resume_step` and `seconds_lost` are None if they did not come back."""

    cause: str
    last_step: int
    resume_step: int | None = None
    seconds_lost: float | None = None
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class TrafficLine:
    """People's requests to the model version. Latencies in milliseconds over successful requests."""

    num_requests: int
    num_errors: int
    requests_per_s: float
    tokens_per_s: float
    p50_ms: float
    p99_ms: float
    ttft_p50_ms: float
    ttft_p99_ms: float


@dataclass(frozen=True, kw_only=True)
class CardSample:
    """What the model said. `prompt` is the end of a held-out text, `source` the file that it is from."""

    source: str
    prompt: str
    completion: str


@dataclass(frozen=True, kw_only=True)
class CardAnswer:
    """An example of the task: what was asked and wanted, and what was answered before (by the base) and after."""

    question: str
    before: str
    after: str
    wanted: str


@dataclass(frozen=True, kw_only=True)
class Specialist:
    """What the evaluation says about the task of a run, and some of the answers."""

    section: TaskSection
    answers: tuple[CardAnswer, ...] = ()


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """A run of a learning curve: what it learnt from, and its levels by metric. `missing`: why it is no point yet."""

    run_id: str
    fraction: float
    num_learnt: int = 0
    levels: Mapping[str, Estimate] = field(default_factory=dict)
    missing: str = ""


@dataclass(frozen=True, kw_only=True)
class LearningCurve:
    """By size, the run itself last, and what they say of more examples."""

    points: tuple[CurvePoint, ...]
    advice: str


@dataclass(frozen=True, kw_only=True)
class ReportCard:
    """One page about one run. `reason` says why it ended badly; `recipe_text` is what was asked for, as YAML.

    `prompt` is a beginning that the model can go on.
    """

    run_id: str
    recipe: str
    recipe_sha256: str
    outcome: str
    model: str
    model_version: int
    began_at: datetime
    seconds: float
    stages: tuple[StageLine, ...] = ()
    corpus: CorpusIngested | None = None  # without its segments
    dataset: DatasetPublished | None = None
    tokenizer: TokenizerTrained | None = None
    trials: tuple[TrialCompleted, ...] = ()
    search: SearchCompleted | None = None
    training: TrainingStarted | None = None
    trained: TrainingCompleted | None = None
    forecast: str = ""  # how far what was said before the training was from its outcome
    tokens_per_s: float = 0.0  # while training stepped
    losses: tuple[LossPoint, ...] = ()
    looks: tuple[LossPoint, ...] = ()  # the validation loss
    said: tuple[TrainingSample, ...] = ()  # what the model went on with at the last of them
    interruptions: tuple[Interruption, ...] = ()
    skipped_steps: tuple[int, ...] = ()  # whose updates were not applied
    rolled_back_steps: tuple[int, ...] = ()  # at which the weights had gone bad
    ledger: LedgerVerdict | None = None
    checkpoint_id: str = ""  # that was judged
    estimates: tuple[Estimate, ...] = ()
    specialist: Specialist | None = None
    learning: LearningCurve | None = None
    gate: GateDecided | None = None
    parity: ParityCertified | None = None
    traffic: TrafficLine | None = None
    alarms: tuple[AlarmRaised, ...] = ()
    num_alarms_over: int = 0  # of those
    reason: str = ""
    recipe_text: str = ""
    samples: tuple[CardSample, ...] = ()
    prompt: str = ""
    curl: str = field(default="", repr=False)

    @property
    def own_estimates(self) -> list[Estimate]:
        """What was measured of the model itself, but for its task."""
        of_task = self.specialist.section.levels[CANDIDATE] if self.specialist else {}
        own = (each for each in self.estimates if each.subject == self.checkpoint_id and not each.paired)
        return [each for each in own if each.metric not in of_task]

    def is_chosen(self, trial: TrialCompleted) -> bool:
        """Whether the search took the parameters of this trial."""
        return self.search is not None and trial.status == "complete" and trial.params == self.search.params

    @property
    def epochs(self) -> float | None:
        """How often training read its data; None where the log does not say."""
        if self.trained is None or self.dataset is None or not self.dataset.num_tokens:
            return None
        return self.trained.tokens / self.dataset.num_tokens

    def bits_per_byte(self, loss: float) -> float | None:
        """A loss in nats per token, in bits per byte of the text; None where the tokenizer's rate is not known."""
        rate = self.tokenizer.bytes_per_token if self.tokenizer else 0.0
        return loss / math.log(2) / rate if rate else None

    def not_once(self, stages: Iterable[str]) -> list[str]:
        """Those of the stages that are not in the log exactly once, each with how often it is."""
        counts = {stage.name: stage.num_completed for stage in self.stages}
        return [f"{name} {counts.get(name, 0)}" for name in stages if counts.get(name, 0) != 1]

    @property
    def waiting_s(self) -> float:
        """What no stage accounts for: waiting between stages, and attempts that were taken again."""
        return max(0.0, self.seconds - sum(stage.seconds for stage in self.stages))

    @property
    def cpu_seconds(self) -> float:
        """CPU time of all stages."""
        return sum(stage.cpu_seconds for stage in self.stages)

    @property
    def usd(self) -> float | None:
        """The priced stages together; None if none was priced."""
        priced = [stage.usd for stage in self.stages if stage.usd is not None]
        return sum(priced) if priced else None
