"""The child process in which a judge is asked: about labelled answers and controls for its card, or later ones."""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ropewalk.evaluator.adapters.judging.voices import EndpointVoice, JudgeAnswer, JudgeVoice, RecordedVoice
from ropewalk.evaluator.domain.judging import controls
from ropewalk.evaluator.domain.judging.assessment import Graded, assessed
from ropewalk.events.foreign import one_line
from ropewalk.events.judge import CriterionCard, JudgeCard
from ropewalk.stages.errors import StageError
from ropewalk.tasksets.judges.grading import Grade, graded
from ropewalk.tasksets.judges.labels import JudgedAnswer
from ropewalk.tasksets.judges.prompt import VERSION, JudgePrompt, judge_prompt
from ropewalk.tasksets.judges.rubric import Criterion
from ropewalk.tasksets.judges.shelf import ReadJudge, stored_judge

Report = Callable[[object], None]
Said = list[tuple[JudgePrompt, JudgeAnswer]]


@dataclass(frozen=True, kw_only=True)
class HearingOrder:
    """`judge` is the fetched folder of what was registered, `model` that of a model of ours with the `digest` of its
    weights. `answers`: in the place of those that lie with the judge. `said`: what it said to the same questions at an
    earlier look, so that nobody is asked."""

    judge: Path
    model: Path | None
    digest: str
    key: str
    minutes: float
    threads: int
    answers: tuple[JudgedAnswer, ...] = ()
    said: bytes = b""


@dataclass(frozen=True)
class Heard:
    """`identity` of who was asked. Of a registration the card but for its validity, and what was said; of an audit
    pairs of criterion and residual, in hash order."""

    identity: str
    card: JudgeCard | None = None
    said: bytes = b""
    residuals: tuple[tuple[str, float], ...] = ()


def examine(order: HearingOrder, report: Report) -> Heard:
    """Ask about every labelled answer, and try the controls. Raises StageError where the judge cannot be asked."""
    hearing = _Hearing(order, report)
    criteria = hearing.judge.rubric.criteria
    given = {name: [each for each in hearing.judge.answers if each.criterion == name] for name in criteria}
    given = {name: answers for name, answers in given.items() if answers}
    tried = {name: controls.tried_on(answers) for name, answers in given.items()}
    hearing.num_asked = sum(len(given[name]) + len(controls.CONTROLS) * len(tried[name]) for name in given)
    cards = tuple(_card_of(hearing, name, given[name], tried[name]) for name in given)
    return Heard(hearing.identity, hearing.card(cards), hearing.recording())


def audit(order: HearingOrder, report: Report) -> Heard:
    """Ask about `order.answers`. Raises StageError."""
    hearing = _Hearing(order, report)
    answers = sorted(order.answers, key=lambda each: each.item_id)
    hearing.num_asked = len(answers)
    found = []
    for name, criterion in hearing.judge.rubric.criteria.items():
        mine = [each for each in answers if each.criterion == name]
        grades = hearing.grades([judge_prompt(criterion, each) for each in mine])
        residuals = _arranged(name, criterion, mine, grades, "").residuals
        found += [(name, float(residual)) for residual in residuals if not np.isnan(residual)]
    return Heard(hearing.identity, residuals=tuple(found))


def hear(order: HearingOrder, prompts: Sequence[JudgePrompt], report: Report) -> tuple[str, list[Grade | None], bytes]:
    """The identity of who was asked, a grade for each prompt, and what was said. Raises StageError."""
    hearing = _Hearing(order, report)
    hearing.num_asked = len(prompts)
    return hearing.identity, hearing.graded(prompts), hearing.recording()


class _Hearing:
    """Asks one judge and counts."""

    def __init__(self, order: HearingOrder, report: Report) -> None:
        self.judge, self._report = stored_judge(order.judge), report
        self._began = time.monotonic()
        self._voice = _voice(order, self.judge, self._began + 60 * order.minutes)
        self._minutes, self.num_asked, self._num_told = order.minutes, 0, 0
        self._said: Said = []

    @property
    def identity(self) -> str:
        """Of the judge: whatever changes what it would say changes this."""
        told = [self._voice.digest, VERSION, self.judge.rubric.digest, self._voice.decoding]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()

    def grades(self, prompts: Sequence[JudgePrompt]) -> list[float]:
        """The expected grade for each prompt, NaN where there is none. Raises StageError."""
        return [np.nan if each is None else each.expected for each in self.graded(prompts)]

    def graded(self, prompts: Sequence[JudgePrompt]) -> list[Grade | None]:
        """The same, with how likely each grade is."""
        try:
            told = self._voice.ask(prompts, self._on_told)
        except TimeoutError:
            raise StageError(
                f"after {self._minutes:g} minutes {self._num_told} of {self.num_asked} answers were there: take fewer "
                "labelled answers or a faster judge, or let the evaluator have ROPEWALK_EVALUATOR_TASK_MINUTES more"
            ) from None
        self._said += zip(prompts, told, strict=True)
        return [graded(each.next_token, prompt.grades) for each, prompt in zip(told, prompts, strict=True)]

    def _on_told(self) -> None:
        self._num_told += 1
        self._report((self._num_told, self.num_asked))

    def recording(self) -> bytes:
        """What was said, as `recorded` of a judge reads it."""
        lines = {
            prompt.digest: json.dumps({"prompt": prompt.digest, "next_token": told.next_token})
            for prompt, told in self._said
        }
        return "".join(f"{line}\n" for line in lines.values()).encode()

    def card(self, criteria: tuple[CriterionCard, ...]) -> JudgeCard:
        """All but its validity."""
        told, definition = [each for _, each in self._said], self.judge.definition
        prompt_tokens, answer_tokens = (
            sum(each.prompt_tokens for each in told),
            sum(each.answer_tokens for each in told),
        )
        usd, asked = 0.0, definition.endpoint
        if asked is not None:
            usd = (
                prompt_tokens * asked.usd_per_million_prompt_tokens
                + answer_tokens * asked.usd_per_million_answer_tokens
            ) / 1e6
        return JudgeCard(
            identity=self.identity,
            model=self._voice.name,
            model_digest=hashlib.sha256(self._voice.digest.encode()).hexdigest(),
            prompt_version=VERSION,
            rubric=self.judge.rubric.full_name,
            rubric_digest=self.judge.rubric.digest,
            decoding=self._voice.decoding,
            tells_probabilities=not any(each.is_certain for each in told),
            use_case=one_line(definition.use_case),
            labels_digest=self.judge.labels_digest,
            valid_until="",
            criteria=criteria,
            num_calls=len(told) + sum(each.num_retries for each in told),
            num_retries=sum(each.num_retries for each in told),
            prompt_tokens=prompt_tokens,
            answer_tokens=answer_tokens,
            seconds=time.monotonic() - self._began,
            usd=usd,
        )


def _card_of(hearing: _Hearing, name: str, answers: list[JudgedAnswer], tried: list[int]) -> CriterionCard:
    criterion, family = hearing.judge.rubric.criteria[name], hearing.judge.definition.family
    grades = hearing.grades([judge_prompt(criterion, each) for each in answers])
    judged = _arranged(name, criterion, answers, grades, family)
    before, clusters = np.array([grades[place] for place in tried]), [judged.clusters[place] for place in tried]
    shifts = {}
    for control, asked in controls.CONTROLS.items():
        after = hearing.grades([asked(criterion, answers[place]) for place in tried])
        if (found := controls.shift(control, before, np.array(after), clusters, judged.top)) is not None:
            shifts[control] = found
    return assessed(judged, shifts, hearing.judge.definition.raters)


def _arranged(
    name: str, criterion: Criterion, answers: Sequence[JudgedAnswer], grades: Sequence[float], family: str
) -> Graded:
    raters = sorted({rater for each in answers for rater in each.labels})
    return Graded(
        criterion=name,
        top=criterion.numbers[-1],
        expected=np.array(grades, dtype=np.float64),
        ratings=np.array(
            [[each.labels.get(rater, np.nan) for each in answers] for rater in raters], dtype=np.float64
        ).reshape(len(raters), len(answers)),
        chances=np.array([each.chance for each in answers], dtype=np.float64),
        clusters=[each.cluster or each.item_id for each in answers],
        lengths=np.array([len(each.answer) for each in answers], dtype=np.float64),
        own=np.array([float(each.by == family) if family and each.by else np.nan for each in answers]),
    )


def _voice(order: HearingOrder, judge: ReadJudge, until: float) -> JudgeVoice:
    of = judge.definition
    if order.said:
        return RecordedVoice(order.said, hashlib.sha256(order.said).hexdigest())
    if of.endpoint is not None:
        return EndpointVoice(of.endpoint, order.key, until)
    if order.model is None:
        return RecordedVoice(judge.recorded, hashlib.sha256(judge.recorded).hexdigest())
    import torch

    from ropewalk.evaluator.adapters.judging.own_model import OwnModelVoice

    torch.set_num_threads(order.threads)
    return OwnModelVoice(order.model, of.model, order.digest, until)
