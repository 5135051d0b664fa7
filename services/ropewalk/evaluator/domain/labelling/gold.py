"""Sheets whose grade is known: the worked examples of a rubric. Their labels are nobody's evidence about a model."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import product

from ropewalk.evaluator.domain.labelling.sheets import PAIR, Sheet, in_order
from ropewalk.tasksets.judges.rubric import Criterion


def gold_sheets(asked: Iterable[tuple[str, str]], criteria: Mapping[str, Criterion]) -> Iterator[Sheet]:
    """For each scale and criterion that is asked about: its examples, or the best beside the worst of a question.

    A comparison by several criteria has those of all of them.
    """
    for scale, name in asked:
        for criterion in criteria_of(name, criteria).values():
            yield from _pairs(name, criterion) if scale == PAIR else _grades(scale, name, criterion)


def criteria_of(name: str, criteria: Mapping[str, Criterion]) -> Mapping[str, Criterion]:
    """What a sheet is judged by: the criterion of that name, or all together."""
    return {name: criteria[name]} if name in criteria else criteria


def _grades(scale: str, name: str, criterion: Criterion) -> Iterator[Sheet]:
    for meaning in criterion.grades:
        for example in meaning.examples:
            yield _sheet(name, scale, example.question, example.reference, (example.answer,), meaning.grade)


def _pairs(name: str, criterion: Criterion) -> Iterator[Sheet]:
    for worst, best in product(criterion.grades[0].examples, criterion.grades[-1].examples):
        if (worst.question, worst.reference) == (best.question, best.reference) and worst.answer != best.answer:
            answers = in_order((worst.answer, best.answer))
            better = 0 if answers[0] == best.answer else 2
            yield _sheet(name, PAIR, best.question, best.reference, answers, better)


def _sheet(name: str, scale: str, question: str, reference: str, answers: tuple[str, ...], grade: int) -> Sheet:
    return Sheet(
        item_id="gold",
        cluster="gold",
        criterion=name,
        scale=scale,
        question=question,
        reference=reference,
        answers=answers,
        gold=grade,
    )
