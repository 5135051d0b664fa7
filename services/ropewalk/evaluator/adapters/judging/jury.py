"""Asking the judges of a task set about written answers, in the child: from prompts to scores between 0 and 1."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ropewalk.evaluator.adapters.judging.bench import Summoned
from ropewalk.evaluator.adapters.judging.examining import hear
from ropewalk.evaluator.domain.judging import pairs
from ropewalk.evaluator.domain.judging.drift import after_audit
from ropewalk.evaluator.domain.labelling.answered import AnsweredItem
from ropewalk.events.foreign import one_line
from ropewalk.events.judge import JudgeAudited, JudgeSuspended
from ropewalk.stages.errors import StageError
from ropewalk.tasksets.errors import TaskSetError
from ropewalk.tasksets.judges.grading import Grade
from ropewalk.tasksets.judges.labels import JudgedAnswer
from ropewalk.tasksets.judges.prompt import JudgePrompt, TwoAnswers, judge_prompt, pair_prompt
from ropewalk.tasksets.shelf import ReadTaskSet

_MOST_UNGRADED = 0.1  # share of the answers
_Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Juror:
    """A judge that was asked. `scores` by metric, (2, items): ours and theirs; `remarks` for readers."""

    summoned: Summoned
    grades: Mapping[str, Grade | None]  # by prompt
    said: bytes
    scores: Mapping[str, _Floats]
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Absent:
    """A judge that said nothing of use, and why; the `facts` that follow from it."""

    judge_id: str
    why: str
    facts: tuple[JudgeAudited | JudgeSuspended, ...] = ()


def asked(
    judge: Summoned, found: ReadTaskSet, items: Sequence[AnsweredItem], report: Callable[[object], None]
) -> Juror | Absent:
    """Ask one judge about everything, in both orders where two answers are compared."""
    metrics = judge.criteria if found.definition.type == "judge" else found.definition.known
    wanted = {each.digest: each for name in metrics for item in items for each in prompts(found, item, name)}
    try:
        identity, grades, said = hear(judge.order, tuple(wanted.values()), report)
    except (StageError, TaskSetError, OSError) as error:
        return Absent(judge_id=judge.judge_id, why=one_line(str(error), 500))
    if not judge.order.said and identity != judge.standing.card.identity:
        facts = after_audit(judge.standing, judge.judge_id, judge.standing.content, identity, ())
        return Absent(judge_id=judge.judge_id, why="another judge answers under its name", facts=facts)
    by_prompt = dict(zip(wanted, grades, strict=True))
    scores = {name: _scores(found, items, name, by_prompt) for name in metrics}
    if any(np.isnan(each).mean() > _MOST_UNGRADED for each in scores.values()):
        return Absent(judge_id=judge.judge_id, why=f"it named no grade for more than {_MOST_UNGRADED:.0%} of answers")
    gaps = sum(int(np.isnan(each).sum()) for each in scores.values())
    remarks = (f"judge {judge.judge_id} named no grade {gaps} times: its mean stands there",) if gaps else ()
    if found.definition.type == "pairwise":
        both = [each for item in items if (each := _both_orders(found, item, by_prompt)) is not None]
        remarks = (*remarks, *([pairs.told(judge.judge_id, both)] if both else []))
    filled = {name: np.where(np.isnan(each), np.nanmean(each), each) for name, each in scores.items()}
    return Juror(summoned=judge, grades=by_prompt, said=said, scores=filled, remarks=remarks)


def prompts(found: ReadTaskSet, item: AnsweredItem, metric: str) -> tuple[JudgePrompt, ...]:
    """One for ours and one for theirs, or one for each order; none where two answers that are the same are compared."""
    assert found.rubric is not None, "a judged task set has one"
    if found.definition.type == "judge":
        criterion = found.rubric.criteria[metric]
        return tuple(judge_prompt(criterion, as_judged(item, metric, text)) for text in (item.ours, item.theirs))
    if item.ours == item.theirs:
        return ()
    straight = TwoAnswers(
        question=item.question, first=item.ours, second=item.theirs, reference=item.reference, note=item.note
    )
    turned = replace(straight, first=item.theirs, second=item.ours)
    return tuple(pair_prompt(found.rubric, found.definition.criteria, each) for each in (straight, turned))


def as_judged(item: AnsweredItem, criterion: str, text: str, labels: Mapping[str, int] | None = None) -> JudgedAnswer:
    """An answer as judges and their audits read it."""
    return JudgedAnswer(
        criterion=criterion,
        answer=text,
        question=item.question,
        reference=item.reference,
        note=item.note,
        cluster=item.cluster[:100],
        labels=dict(labels or {}),
    )


def _scores(
    found: ReadTaskSet, items: Sequence[AnsweredItem], metric: str, grades: Mapping[str, Grade | None]
) -> _Floats:
    """(2, items), from 0 to 1; NaN where there is no grade."""
    rows = []
    for item in items:
        if found.definition.type == "judge":
            told = [grades[each.digest] for each in prompts(found, item, metric)]
            top = prompts(found, item, metric)[0].grades[-1]
            rows.append([np.nan if each is None else each.expected / top for each in told])
        elif item.ours == item.theirs:
            rows.append([0.5, 0.5])
        else:
            both = _both_orders(found, item, grades)
            rows.append([np.nan, np.nan] if both is None else [both.score, 1 - both.score])
    return np.array(rows, dtype=np.float64).T


def _both_orders(found: ReadTaskSet, item: AnsweredItem, grades: Mapping[str, Grade | None]) -> pairs.BothOrders | None:
    told = [grades[each.digest] for each in prompts(found, item, found.definition.known[0])]
    if len(told) < 2 or told[0] is None or told[1] is None:
        return None
    return pairs.BothOrders(told[0], told[1], item.cluster)
