"""The judge family: who grades answers beside people, and how far it is to be believed. About a judge and no run."""

from typing import ClassVar, Literal

from pydantic import Field

from ropewalk.events.base import RUN_ID_PATTERN, AboutOther, Event, Request, Value

Standing = Literal["replace", "assist", "reject"]


class _Family(Value):
    family: ClassVar[str] = "judge"
    about: ClassVar[str] = "judge_id"
    judge_id: str = Field(pattern=RUN_ID_PATTERN)
    content: str = Field(
        pattern=r"^[a-z0-9]{1,64}$", description="hash of what lies in the store: judge, rubric, labels"
    )


class JudgeFigure(Value):
    """One number of a card with its 95 % interval; infinite bounds: too few clusters to say how sure it is."""

    name: str
    value: float
    lower: float
    upper: float
    num_items: int


class Residuals(Value):
    """Judge less people, in grades: how many, their mean, and the sum of squared deviations from it."""

    count: int = 0
    mean: float = 0.0
    deviations: float = 0.0


class CriterionCard(Value):
    """How a judge grades by one criterion. `economy` says what its grades save in labels, or why nobody can tell."""

    criterion: str
    top_grade: int
    num_items: int = Field(description="answers that it was given")
    num_ungraded: int = Field(description="of them without a grade: the context had no room, or it named none")
    num_labels: int = Field(description="of the graded ones that people graded, too")
    num_raters: int
    figures: tuple[JudgeFigure, ...]
    economy: str
    residuals: Residuals
    verdict: Standing
    reasons: tuple[str, ...]


class JudgeCard(Value):
    """Who a judge is, what it is good for and until when. Grades of two identities are never pooled."""

    identity: str = Field(description="hash of model, prompt version, rubric and decoding")
    model: str = Field(description="in words")
    model_digest: str = Field(description="of its weights, of the recording, or of address and name at an endpoint")
    prompt_version: int
    rubric: str
    rubric_digest: str
    decoding: str
    tells_probabilities: bool = Field(description="otherwise one token is taken as the grade")
    use_case: str
    labels_digest: str
    valid_until: str = Field(description="UTC")
    criteria: tuple[CriterionCard, ...]
    num_calls: int
    num_retries: int
    prompt_tokens: int
    answer_tokens: int
    seconds: float
    usd: float = Field(description="by the prices of the judge's file; 0: there are none")

    @property
    def verdict(self) -> Standing:
        """The worst of its criteria."""
        order: tuple[Standing, ...] = ("reject", "assist", "replace")
        return min((each.verdict for each in self.criteria), key=order.index)


class DriftState(Value):
    """What an audit knows of one criterion: residuals since the registration, and the highest log factor so far."""

    criterion: str
    seen: Residuals
    evidence: float
    drift: float = Field(description="mean residual less that of the registration, in grades")


class RegisterJudge(_Family, AboutOther, Request):
    """Somebody put a judge with its rubric and labels into the store and asks for its card."""

    name: ClassVar[str] = "register"


class AuditJudge(_Family, AboutOther, Request):
    """Somebody put later labels into the store; does the judge still grade as when it was registered?"""

    name: ClassVar[str] = "audit"


class JudgeProgressed(_Family, AboutOther, Event):
    """A sign of life while a judge is asked."""

    name: ClassVar[str] = "progressed"
    num_answers: int
    num_asked: int


class JudgeRegistered(_Family, AboutOther, Event):
    """A judge was asked, and this is its card."""

    name: ClassVar[str] = "registered"
    card: JudgeCard


class JudgeRefused(_Family, AboutOther, Event):
    """A judge was not registered, or not audited; the sentence says why."""

    name: ClassVar[str] = "refused"
    reason: str


class JudgeAudited(_Family, AboutOther, Event):
    """Later labels were compared with what the judge says now. The states go on from those of the audit before."""

    name: ClassVar[str] = "audited"
    identity: str
    num_new: int = Field(description="labels that were not known before")
    states: tuple[DriftState, ...]


class JudgeSuspended(_Family, AboutOther, Event):
    """The judge grades otherwise than it did; only a new registration with labels gives it its right back."""

    name: ClassVar[str] = "suspended"
    identity: str
    reason: str
