"""Everything that the report of one evaluation shows, as values."""

from dataclasses import dataclass

from ropewalk.events.evaluation import GateDecided
from ropewalk.events.judge import JudgeCard
from ropewalk.report.evaluation.raters import RaterAgreement
from ropewalk.report.evaluation.reliability import Reliability
from ropewalk.report.evaluation.sealed import SealedReport


@dataclass(frozen=True)
class SideBySide:
    """What was asked and said; empty texts where nobody said or kept one."""

    source: str
    question: str
    candidate: str
    opponent: str = ""
    reference: str = ""

    @property
    def headline(self) -> str:
        """Where it is from and how it begins, on one line."""
        return f"{self.source}: {' '.join(self.question.split())[:80]}"

    @property
    def sides(self) -> list[tuple[str, str]]:
        """What stands side by side: whose it is and what it says."""
        told = (("candidate", self.candidate), ("opponent", self.opponent), ("reference", self.reference))
        return [(whose, text if text.strip() else "(white space only)") for whose, text in told if text]


@dataclass(frozen=True, kw_only=True)
class PanelJudge:
    """A judge that a task set names: its newest card, what it may do, and how it graded what people had graded."""

    name: str
    card: JudgeCard
    standing: str
    reliabilities: tuple[Reliability, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """`missing` says in sentences what cannot be shown, and why."""

    decided: GateDecided
    report: SealedReport
    judges: tuple[PanelJudge, ...] = ()
    agreements: tuple[RaterAgreement, ...] = ()
    examples: tuple[SideBySide, ...] = ()
    missing: tuple[str, ...] = ()
