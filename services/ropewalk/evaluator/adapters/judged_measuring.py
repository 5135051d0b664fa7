"""Measuring a judged task set in the child: answers are written, judges asked and audited, sheets drawn for people."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from ropewalk.evaluator.adapters.asked_sets import MOST_ANSWERS, AskedSets, item_of, not_to_be_asked, why_missing
from ropewalk.evaluator.adapters.judging.bench import Audit, CaseFile, JudgedLook
from ropewalk.evaluator.adapters.judging.jury import Absent, Juror, as_judged, asked, prompts
from ropewalk.evaluator.adapters.labelling.kept import sheet_files, sheets_key
from ropewalk.evaluator.adapters.measuring import SetToAsk
from ropewalk.evaluator.adapters.scoring import ScoredModel
from ropewalk.evaluator.adapters.task_measuring import AnswersProgress, Patience, answer_in_time, as_it_is
from ropewalk.evaluator.adapters.voices import Voice
from ropewalk.evaluator.domain.judging.drift import after_audit
from ropewalk.evaluator.domain.labelling.answered import AnsweredItem, Asked, labels_on
from ropewalk.evaluator.domain.labelling.case import Case
from ropewalk.evaluator.domain.labelling.gold import digest_of
from ropewalk.evaluator.domain.metrics.sets import set_metrics
from ropewalk.evaluator.ports import Scorer
from ropewalk.events.judge import JudgeAudited, JudgeSuspended
from ropewalk.stages.errors import StageError
from ropewalk.tasksets.items import MOST_JUDGED
from ropewalk.tasksets.judges.labels import MAX_BYTES, MAX_ITEMS, JudgedAnswer
from ropewalk.tasksets.judges.shelf import stored_judge
from ropewalk.tasksets.section import TaskSetSection
from ropewalk.tasksets.shelf import ReadTaskSet


def ask_judged(
    to_ask: SetToAsk, found: ReadTaskSet, scorers: Mapping[str, Scorer], seed: int, patience: Patience
) -> AskedSets:
    """As `set_measuring.ask_sets` does of other task sets; `patience.level` is that of a primary gain."""
    of, bench, decides = found.definition, to_ask.bench, bool(found.definition.deciding)
    assert bench is not None, "a judged task set has one"
    models = {name: scorer for name, scorer in scorers.items() if isinstance(scorer, ScoredModel)}
    if len(models) < 2:
        notes = (not_to_be_asked(of),) if decides else ()
        return AskedSets(sections=(_section(to_ask, found, ()),), notes=notes)
    if decides and (fault := why_missing(of, of.min_items, to_ask)):
        return AskedSets(sections=(_section(to_ask, found, ()),), missing=(f"{of.full_name} decides, and {fault}",))
    items = bench.answers or _written(found, models, patience)
    if len(items) < of.min_items:
        missing = (f"{of.full_name} decides, and {why_missing(of, len(items), to_ask)}",) if decides else ()
        return AskedSets(sections=(_section(to_ask, found, items),), missing=missing)
    progress = AnswersProgress(patience.report, len(bench.panel) * len(items) * 2 * len(of.known))
    jury = [asked(judge, found, items, lambda _: progress.more(1)) for judge in bench.panel]
    return _Look(to_ask, found, bench, items, seed, patience.level).came_to(jury, tuple(models)[1])


def _written(found: ReadTaskSet, models: Mapping[str, ScoredModel], patience: Patience) -> tuple[AnsweredItem, ...]:
    """What both models answer; only items that both have room for. Empty where nothing came in time."""
    of, used = found.definition, found.used()[: max(MOST_ANSWERS, found.definition.min_items)]
    until = time.monotonic() + 60 * patience.minutes
    voices = {name: Voice(model, as_it_is, of.max_tokens, until, of.until) for name, model in models.items()}
    pairs = [(item_of(each, of, of.templates[0]), each) for each in used]
    told = {item: each for item, each in pairs if all(voice.takes(item) for voice in voices.values())}
    try:
        num_answered = answer_in_time(voices, list(told), patience) if told else 0
    except StageError:
        return ()
    both = [voice.answers(list(told)[:num_answered]) for voice in voices.values()]
    return tuple(
        AnsweredItem(
            item_id=each.item_id,
            cluster=each.cluster,
            question=each.told(of.templates[0]),
            ours=ours.text.strip()[:MOST_JUDGED],
            theirs=theirs.text.strip()[:MOST_JUDGED],
            reference=each.fields.get("reference", ""),
            note=each.fields.get("note", ""),
        )
        for each, ours, theirs in zip(told.values(), *both, strict=False)
        if ours.fits and theirs.fits
    )


@dataclass(frozen=True)
class _Look:
    """One look at the answers of both, with what is known so far."""

    to_ask: SetToAsk
    found: ReadTaskSet
    bench: CaseFile
    items: tuple[AnsweredItem, ...]
    seed: int
    level: float

    def came_to(self, jury: Sequence[Juror | Absent], opponent: str) -> AskedSets:
        """Audit who was asked, measure with who is left, and draw what people are to label next."""
        of, jurors = self.found.definition, [each for each in jury if isinstance(each, Juror)]
        gone = [f"judge {each.judge_id} is left out: {each.why}" for each in jury if isinstance(each, Absent)]
        case = self._case(jurors, opponent)
        audits = [audit for each in jurors if (audit := self._audit(each, case)) is not None]
        suspended = {fact.judge_id: fact.reason for fact in _suspended(audits, jury)}
        gone += [f"judge {name} was suspended: {why}" for name, why in suspended.items()]
        jurors = [each for each in jurors if each.summoned.judge_id not in suspended]
        case = self._case(jurors, opponent)
        case = case.with_next_rounds() if of.deciding else case
        files = sheet_files(self.bench.pair, case.sheets(), case.rounds) if case.rounds else {}
        remarks = (*self.bench.left_out, *gone, *(remark for each in jurors for remark in each.remarks))
        measured = case.measured()
        section = self._section(case, jurors, [*(fact for each in audits for fact in each.facts), *_of_absent(jury)])
        section = section.model_copy(update={"remarks": remarks, "sheets": sheets_key(files) if files else ""})
        return AskedSets(
            asked=measured,
            sections=(section,),
            deciding=(of,) if of.deciding else (),
            left=tuple((each.metric.name, case.num_left(each)) for each in measured),
            notes=tuple(f"{of.full_name}: {each}" for each in self._notes(case, gone)) if of.deciding else (),
            judged=(
                JudgedLook(
                    pair=self.bench.pair,
                    answers=self.items,
                    said=tuple((each.summoned.standing.content, each.said) for each in jurors),
                    files=files,
                    audits=tuple(audits),
                ),
            ),
        )

    def _case(self, jurors: Sequence[Juror], opponent: str) -> Case:
        of, rubric = self.found.definition, self.found.rubric
        assert rubric is not None, "a judged task set has one"
        criteria = {name: rubric.criteria[name] for name in of.criteria}
        asked_of = Asked(
            tops={name: each.numbers[-1] for name, each in criteria.items()} if of.type == "judge" else {},
            rubrics={name: digest_of(name, criteria) for name in of.known},
        )
        metrics = {each.name.partition("/")[2]: each for each in set_metrics(of)}
        return Case(
            of=of,
            asked=asked_of,
            metrics=tuple(metrics[name] for name in of.deciding),
            opponent=opponent,
            items=self.items,
            scores={
                name: {each.summoned.judge_id: each.scores[name] for each in jurors if name in each.scores}
                for name in of.known
            },
            grades=self.bench.grades,
            num_said=self.bench.num_said,
            rounds=self.bench.rounds,
            seed=self.seed,
            level=self.level,
        )

    def _audit(self, juror: Juror, case: Case) -> Audit | None:
        """Compare a judge with labels that neither its card nor an audit knew; None where there is no such label."""
        judge, new = juror.summoned, dict[str, tuple[JudgedAnswer, float]]()
        if self.found.definition.type != "judge":  # a card says nothing about comparisons
            return None
        for name in set(judge.criteria) & set(self.found.definition.deciding):
            for item in (each for each in case.items if each.item_id in case.drawn):
                sheets = {sheet.answers[0]: sheet for sheet in case.asked.sheets(item, name)}
                for text, prompt in zip((item.ours, item.theirs), prompts(self.found, item, name), strict=True):
                    given, grade = labels_on(sheets[text], case.grades), juror.grades[prompt.digest]
                    answer = as_judged(item, name, text, given)
                    if given and grade is not None and answer.item_id not in judge.known:
                        new[answer.item_id] = (answer, grade.expected - sum(given.values()) / len(given))
        if not new:
            return None
        kept = _bounded([new[name] for name in sorted(new)])
        labels = "".join(f"{json.dumps(asdict(answer))}\n" for answer, _ in kept).encode()
        made = replace(stored_judge(judge.order.judge), answers=tuple(answer for answer, _ in kept), labels=labels)
        residuals = [(answer.criterion, residual) for answer, residual in kept]
        identity = judge.standing.card.identity
        facts = after_audit(judge.standing, judge.judge_id, made.content, identity, residuals)
        return Audit(labels=made, facts=facts)

    def _notes(self, case: Case, gone: Sequence[str]) -> list[str]:
        """What a reader of the decision must know."""
        of, num_missing = self.found.definition, case.num_missing()
        notes = [*self.bench.left_out, *gone]
        if num_missing:
            notes.append(
                f"{num_missing} of {len(case.sheets())} sheets wait for {of.raters_each} "
                f"{'rater' if of.raters_each == 1 else 'raters'} each: `ropewalk eval raters invite {of.id} RATER` "
                "makes a link, and with evaluation.defer_hours the run waits for them"
            )
        return notes

    def _section(
        self,
        case: Case,
        jurors: Sequence[Juror],
        facts: Sequence[JudgeAudited | JudgeSuspended],
    ) -> TaskSetSection:
        means = {  # (judges, 2, items)
            name: tuple(map(float, np.mean(list(found.values()), axis=(0, 2))))
            for name, found in case.scores.items()
            if found
        }
        return _section(self.to_ask, self.found, self.items).model_copy(
            update={
                "judges": tuple(each.summoned.judge_id for each in jurors),
                "judged_alone": means,
                "num_labelled": len(case.drawn),
                "labels_until": self.bench.sequence,
                "num_sheets": len(case.sheets()),
                "num_missing": case.num_missing(),
                "raters_each": case.of.raters_each,
                "audited": tuple(each for each in facts if isinstance(each, JudgeAudited)),
                "suspended": tuple(each for each in facts if isinstance(each, JudgeSuspended)),
            }
        )


def _suspended(audits: Sequence[Audit], jury: Sequence[Juror | Absent]) -> list[JudgeSuspended]:
    facts = [*(fact for each in audits for fact in each.facts), *_of_absent(jury)]
    return [each for each in facts if isinstance(each, JudgeSuspended)]


def _of_absent(jury: Sequence[Juror | Absent]) -> list[JudgeAudited | JudgeSuspended]:
    return [fact for each in jury if isinstance(each, Absent) for fact in each.facts]


def _bounded(new: Sequence[tuple[JudgedAnswer, float]]) -> list[tuple[JudgedAnswer, float]]:
    """As many as a file of labels may hold."""
    kept: list[tuple[JudgedAnswer, float]] = []
    num_bytes = 0
    for each in new[:MAX_ITEMS]:
        num_bytes += len(json.dumps(asdict(each[0]))) + 1
        if num_bytes <= MAX_BYTES:
            kept.append(each)
    return kept


def _section(to_ask: SetToAsk, found: ReadTaskSet, items: Sequence[AnsweredItem]) -> TaskSetSection:
    of = found.definition
    return TaskSetSection(
        task_set=of.full_name,
        content=found.content,
        kind=of.type,
        split=of.used_split,
        num_items=len(items),
        num_in_split=len(found.used()),
        num_clusters=len({each.cluster for each in items}),
        num_dropped=to_ask.blocked.num_dropped if to_ask.blocked else -1,
        scanned=to_ask.dataset_version if to_ask.blocked else "",
        definitions={metric.name.partition("/")[2]: metric.definition for metric in set_metrics(of)},
    )
