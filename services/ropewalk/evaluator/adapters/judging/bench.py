"""What goes into the child that measures a judged task set, and what comes out: plain values."""

from dataclasses import dataclass, field

from ropewalk.evaluator.adapters.judging.examining import HearingOrder
from ropewalk.evaluator.domain.labelling.answered import AnsweredItem
from ropewalk.evaluator.domain.labelling.rounds import Round
from ropewalk.events.judge import JudgeAudited, JudgeSuspended
from ropewalk.projections.judges import JudgeStanding
from ropewalk.tasksets.judges.shelf import ReadJudge


@dataclass(frozen=True, kw_only=True)
class Summoned:
    """A judge that may say something by `criteria`. `known` are the labelled answers of its card and of audits."""

    judge_id: str
    standing: JudgeStanding
    order: HearingOrder
    criteria: tuple[str, ...]
    known: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class CaseFile:
    """Of one task set and one pair of models: judges, what people said, and what earlier looks left.

    `left_out` says of other judges why. `answers` are empty where nothing was written yet. `grades` by sheet and
    rater; `num_said` people said something of a sheet, up to `sequence` of the log.
    """

    pair: str
    panel: tuple[Summoned, ...] = ()
    left_out: tuple[str, ...] = ()
    answers: tuple[AnsweredItem, ...] = ()
    rounds: tuple[Round, ...] = ()
    grades: dict[str, dict[str, int]] = field(default_factory=dict)
    num_said: dict[str, int] = field(default_factory=dict)
    sequence: int = 0


@dataclass(frozen=True, kw_only=True)
class Audit:
    """The labels that a judge was compared with, as they lie in the store, and what follows."""

    labels: ReadJudge
    facts: tuple[JudgeAudited | JudgeSuspended, ...]


@dataclass(frozen=True, kw_only=True)
class JudgedLook:
    """What a look leaves for the next one, to be kept in the store: see `labelling.kept`.

    `said` by judges, by their content. `files` are the sheets; none where nobody labels.
    """

    pair: str
    answers: tuple[AnsweredItem, ...]
    said: tuple[tuple[str, bytes], ...]
    files: dict[str, bytes]
    audits: tuple[Audit, ...]
