"""Sheets whose grade is known: the worked examples of a rubric. Their labels are nobody's evidence about a model."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import product

from ropewalk.evaluator.domain.labelling.sheets import PAIR, Sheet, in_order
from ropewalk.tasksets.judges.rubric import Criterion


def gold_sheets(asked: Iterable[tuple[str, str]], criteria: Mapping[str, Criterion]) -> Iterator[Sheet]:
    """For each scale and criterion that is asked about: its examples, or the best beside the worst of a question.

    A comparison by several criteria has those of all of them.
    """
    for scale, name in asked:
        rubric = digest_of(name, criteria)
        make = partial(Sheet, item_id="gold", cluster="gold", criterion=name, scale=scale, rubric=rubric)
        for criterion in criteria_of(name, criteria).values():
            yield from _pairs(make, criterion) if scale == PAIR else _grades(make, criterion)


def criteria_of(name: str, criteria: Mapping[str, Criterion]) -> Mapping[str, Criterion]:
    """What a sheet is judged by: the criterion of that name, or all together."""
    return {name: criteria[name]} if name in criteria else criteria


def digest_of(name: str, criteria: Mapping[str, Criterion]) -> str:
    """The hash of all that a sheet is judged by."""
    told = [(each, criterion.model_dump_json()) for each, criterion in criteria_of(name, criteria).items()]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def _grades(make: Callable[..., Sheet], criterion: Criterion) -> Iterator[Sheet]:
    for meaning in criterion.grades:
        for example in meaning.examples:
            yield make(
                question=example.question,
                reference=example.reference,
                answers=(example.answer,),
                gold=meaning.grade,
            )


def _pairs(make: Callable[..., Sheet], criterion: Criterion) -> Iterator[Sheet]:
    for worst, best in product(criterion.grades[0].examples, criterion.grades[-1].examples):
        if (worst.question, worst.reference) == (best.question, best.reference) and worst.answer != best.answer:
            answers = in_order((worst.answer, best.answer))
            better = 0 if answers[0] == best.answer else 2
            yield make(question=best.question, reference=best.reference, answers=answers, gold=better)
