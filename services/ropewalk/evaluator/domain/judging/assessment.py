"""From a judge's grades beside people's to what its card says of one criterion, and whether it may stand in."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ropewalk.evaluator.domain.agreement.alt_test import CROWD, EXPERTS, SKILLED, alt_test
from ropewalk.evaluator.domain.agreement.correlation import spearman
from ropewalk.evaluator.domain.agreement.kappas import ac1_of_table, cohen_kappa
from ropewalk.evaluator.domain.agreement.resampling import resampled
from ropewalk.evaluator.domain.calibration.isotonic import cross_fitted
from ropewalk.evaluator.domain.calibration.judged import (
    FEWEST_LABELS,
    JudgedItems,
    NotMeasurable,
    calibrated_mean,
)
from ropewalk.evaluator.domain.judging import controls
from ropewalk.evaluator.domain.judging.probation import Sums
from ropewalk.events.judge import CriterionCard, JudgeFigure, Residuals, Standing
from ropewalk.statistics.alpha import alpha_of_counts

EPSILON = {"experts": EXPERTS, "skilled": SKILLED, "crowd": CROWD}
RANK, PEOPLE = "rank correlation", "alpha of people alone"
_LEAST_ALPHA = 0.667  # Krippendorff 2004: below it the rubric is to be revised
_MOST_LIFT, _MOST_UNGRADED = 0.25, 0.1  # grades; share of answers
_Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Graded:
    """Answers by one criterion, all by answer: `expected` (n,) NaN without a grade, `ratings` (raters, n) NaN without
    a label, `chances`, `clusters`, `lengths` in characters, and `own` (n,) 1 for one of the judge's family, else 0,
    NaN where nobody said who wrote it."""

    criterion: str
    top: int
    expected: _Floats
    ratings: _Floats
    chances: _Floats
    clusters: Sequence[str]
    lengths: _Floats
    own: _Floats

    @property
    def consensus(self) -> _Floats:
        """(n,): the mean label, NaN without one."""
        given = (~np.isnan(self.ratings)).sum(axis=0)
        return np.where(given > 0, np.nansum(self.ratings, axis=0) / np.maximum(given, 1), np.nan)

    @property
    def residuals(self) -> _Floats:
        """(n,): judge less people, NaN where one of them said nothing."""
        return np.asarray(self.expected - self.consensus)

    def only(self, chosen: NDArray[np.bool_]) -> "Graded":
        """Some of the answers."""
        arrays: dict[str, Any] = {
            name: getattr(self, name)[chosen] for name in ("expected", "chances", "lengths", "own")
        }
        names = [each for each, has in zip(self.clusters, chosen, strict=True) if has]
        return Graded(criterion=self.criterion, top=self.top, ratings=self.ratings[:, chosen], clusters=names, **arrays)


def assessed(judged: Graded, tried: Mapping[str, JudgeFigure], raters: str) -> CriterionCard:
    """The card of a criterion. `tried`: what the controls showed; `raters`: who the people are, which sets ε."""
    with_grade = judged.only(~np.isnan(judged.expected))
    both = with_grade.only(~np.isnan(with_grade.consensus))
    num_labels, sums = len(both.expected), Sums()
    for residual in both.residuals:
        sums = sums.add(float(residual))
    found = _figures(both) if num_labels >= FEWEST_LABELS else ()
    shown = {each.name: each for each in found if not np.isnan(each.value)}  # one rater agrees with nobody
    verdict, reasons = _verdict(both, shown, raters)
    share = 1 - len(with_grade.expected) / len(judged.expected)
    caps = [*_caps(tried), *([f"{share:.0%} of answers got no grade"] if share > _MOST_UNGRADED else [])]
    if verdict == "replace" and caps:
        verdict = "assist"
    if (blank := tried.get(controls.BLANK)) is not None and blank.upper >= 0 and num_labels >= FEWEST_LABELS:
        verdict, caps = "reject", [*caps, "a blank answer is not surely graded below real ones"]
    return CriterionCard(
        criterion=judged.criterion,
        top_grade=judged.top,
        num_items=len(judged.expected),
        num_ungraded=len(judged.expected) - len(with_grade.expected),
        num_labels=num_labels,
        num_raters=int((~np.isnan(judged.ratings)).any(axis=1).sum()),
        figures=(*shown.values(), *tried.values()),
        economy=_economy(with_grade),
        residuals=Residuals(count=sums.count, mean=sums.mean, deviations=sums.deviations),
        verdict=verdict,
        reasons=(*reasons, *caps),
    )


def _verdict(both: Graded, shown: Mapping[str, JudgeFigure], raters: str) -> tuple[Standing, list[str]]:
    """The Alt-Test's where it can be asked; else whether the judge ranks answers as people do."""
    if len(both.expected) < FEWEST_LABELS:
        return "reject", [NotMeasurable(num_labels=len(both.expected)).sentence]
    reasons = []
    if (people := shown.get(PEOPLE)) is not None and people.value < _LEAST_ALPHA:
        reasons.append(f"people agree by an alpha of {people.value:.2f}, below {_LEAST_ALPHA}: revise the rubric first")
    try:
        if len(both.ratings) < 3:
            raise ValueError(f"{len(both.ratings)} of 3 raters")
        # On people's scale: an expected grade is never exactly right where people agree exactly.
        found = alt_test(np.rint(both.expected), both.ratings, graded=True, epsilon=EPSILON[raters])
    except ValueError as why:
        verdict: Standing = "assist" if RANK in shown and shown[RANK].lower > 0 else "reject"
        words = "ranks answers as people do" if verdict == "assist" else "is not surely better than chance at ranking"
        return verdict, [*reasons, f"no Alt-Test, so never replace ({why}); it {words}"]
    words = f"Alt-Test: it beats {found.winning_rate:.0%} of raters (ω), and is as close in {found.advantage:.0%} (ρ)"
    return found.verdict, [*reasons, words]


def _caps(tried: Mapping[str, JudgeFigure]) -> Iterator[str]:
    """Why a judge is not left alone, whatever the Alt-Test says."""
    for name in (controls.PADDED, controls.INJECTED):
        if name in tried and tried[name].value > _MOST_LIFT:
            yield f"{name}: the grade rises by {tried[name].value:.2f}, more than {_MOST_LIFT}"


def _figures(both: Graded) -> Iterator[JudgeFigure]:
    """Of answers that have a grade and a label."""
    top, people, judge = both.top, both.consensus, both.expected
    rounded = [np.rint(np.clip(each, 0, top)).astype(np.int64) for each in (judge, people)]
    yield controls.mean_figure("bias, in grades", both.residuals, both.clusters, -top, top)
    yield controls.mean_figure("distance, in grades", np.abs(both.residuals), both.clusters, 0, top)
    if len(set(both.clusters)) > 1:
        made = cross_fitted(judge[:, None], people, both.clusters, seed=0)
        yield controls.mean_figure("distance when calibrated", np.abs(made - people), both.clusters, 0, top)
    counts = _counts(both.ratings, top)
    for name, statistic in {
        RANK: lambda items: spearman(judge[items], people[items]),
        "alpha with people": lambda items: _alpha(_counts(rounded[0][None], top)[items] + counts[items]),
        PEOPLE: lambda items: _alpha(counts[items]),
        "AC1": lambda items: ac1_of_table(_table(rounded, items, top)),
        "weighted kappa": lambda items: cohen_kappa(_table(rounded, items, top), "quadratic"),
        "length and bias": lambda items: spearman(both.lengths[items], both.residuals[items]),
    }.items():
        yield _resampled(name, statistic, both.clusters)
    if (both.own == 1).any() and (both.own == 0).any():
        own, least = both.own, -2.0 * top
        yield _resampled(
            "own family, in grades", lambda items: _apart(both.residuals[items], own[items]), both.clusters, least
        )


def _resampled(
    name: str, statistic: Callable[[NDArray[np.int64]], float], clusters: Sequence[str], least: float = -1.0
) -> JudgeFigure:
    return controls.figure(name, resampled(statistic, clusters, seed=0, within=(least, -least)), len(clusters))


def _apart(residuals: _Floats, own: _Floats) -> float:
    ours, others = residuals[own == 1], residuals[own == 0]
    return float(ours.mean() - others.mean()) if len(ours) and len(others) else float("nan")


def _alpha(counts: _Floats) -> float:
    return alpha_of_counts(counts, np.arange(counts.shape[1]), "ordinal")


def _counts(ratings: NDArray[Any], top: int) -> _Floats:
    """(answers, grades): how often each grade was given; `ratings` (raters, answers)."""
    return np.stack([(ratings == grade).sum(axis=0) for grade in range(top + 1)], axis=1) * 1.0


def _table(rounded: Sequence[NDArray[np.int64]], items: NDArray[np.int64], top: int) -> _Floats:
    table = np.zeros((top + 1, top + 1))
    np.add.at(table, (rounded[0][items], rounded[1][items]), 1.0)
    return table


def _economy(graded: Graded) -> str:
    if not len(graded.expected):
        return NotMeasurable(num_labels=0).sentence
    sample = JudgedItems(
        scores=graded.expected[:, None],
        labels=graded.consensus,
        chances=graded.chances,
        clusters=graded.clusters,
        span=(0.0, float(graded.top)),
    )
    return calibrated_mean(sample, seed=0).sentence
