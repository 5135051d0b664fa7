"""Every formula of judging by its plain name, with the arguments of the field: for published numbers.

    from ropewalk.evaluator.domain.published import FUNCTIONS
    FUNCTIONS["cohen_kappa"]([[20, 5], [10, 15]])  # 0.4

`python benchmarks/evaluation/published.py [FILE]` runs a list of such calls and compares. Conventions:

- ratings: rows are raters, columns are items, None (or NaN) where a rater said nothing; labels may be words for
  nominal coefficients, alpha's other scalings take numbers;
- counts: rows are items, columns are categories, how many raters said so (Fleiss);
- table: counts of two raters, rows are the first one's categories, columns the second one's;
- intervals are (lower, upper) at `level`, .95 by default; shares, sensitivities and so on lie between 0 and 1.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ropewalk.evaluator.domain import clustered
from ropewalk.evaluator.domain.agreement import (
    alt_test,
    bradley_terry,
    correlation,
    dawid_skene,
    kappas,
    prevalence,
)
from ropewalk.evaluator.domain.calibration import isotonic, labels, powered
from ropewalk.evaluator.domain.texts import rouge, sacre
from ropewalk.statistics import alpha, intervals, ratings
from ropewalk.statistics.intervals import LEVEL, Interval


def wilson(successes: int, trials: int, level: float = LEVEL) -> tuple[float, float]:
    """Wilson's score interval of a share, without continuity correction."""
    return _bounds(intervals.wilson(successes, trials, level))


def clopper_pearson(successes: int, trials: int, level: float = LEVEL) -> tuple[float, float]:
    """The exact interval of a share."""
    return _bounds(intervals.clopper_pearson(successes, trials, level))


def mcnemar(table: ArrayLike) -> dict[str, float]:
    """Of [[both, only first], [only second, none]]: statistic, p, corrected, corrected_p (Edwards), exact_p."""
    return asdict(correlation.mcnemar(table))


def em(ratings: ratings.Ratings, raters: Sequence[object] | None = None, pseudocount: float = 0.0) -> dict[str, Any]:
    """Dawid & Skene: classes, priors, confusion (raters, true, said), posterior (items, classes). `raters` names the
    rater of each row of `ratings`; rows with one name are repeats of one rater."""
    return asdict(dawid_skene.dawid_skene(ratings, raters, pseudocount))


def strengths(wins: ArrayLike, ties: ArrayLike | None = None, ridge: float = 0.0) -> list[float]:
    """Bradley & Terry's logits, mean 0, of wins[i][j]: i beat j so often. With ties (symmetric): Davidson's model."""
    return bradley_terry.bradley_terry(wins, ties, ridge).logits.tolist()


def tie_parameter(wins: ArrayLike, ties: ArrayLike) -> float:
    """Davidson's nu of the same."""
    return bradley_terry.bradley_terry(wins, ties).tie


def rogan_gladen_interval(
    apparent: float, trials: int, sensitivity: tuple[float, int], specificity: tuple[float, int], level: float = LEVEL
) -> tuple[float, float]:
    """Lang & Reiczigel's, as in Lee et al. (2511.21140); sensitivity and specificity with the number of labels each
    rests on."""
    passed, positives, negatives = (
        (share * count, count) for share, count in ((apparent, trials), sensitivity, specificity)
    )
    return _bounds(prevalence.rogan_gladen_interval(passed, positives, negatives, level))


def ppi_mean(
    labels: ArrayLike, predictions: ArrayLike, unlabelled: ArrayLike, level: float = LEVEL, power: float | None = None
) -> dict[str, float]:
    """PPI++ of Y (n,), Yhat (n,), Yhat_unlabeled (N,): value, lower, upper, lambda; `power` fixes lambda."""
    interval, used = powered.ppi_mean(labels, predictions, unlabelled, level, power)
    return asdict(interval) | {"lambda": used}


def alternative_annotator(
    judge: ArrayLike, ratings: ratings.Ratings, graded: bool = False, epsilon: float = 0.2, fewest: int = 30
) -> dict[str, Any]:
    """The Alt-Test: winning_rate (omega), advantage (rho), p_values and advantages by rater, verdict."""
    return asdict(alt_test.alt_test(judge, ratings, graded=graded, epsilon=epsilon, fewest=fewest))


def fitted_isotonic(scores: ArrayLike, labels: ArrayLike) -> list[float]:
    """The isotonic fit at each score, in the order given."""
    corners, values = isotonic.isotonic(scores, labels)
    return [float(each) for each in np.interp(np.asarray(scores, dtype=np.float64), corners, values)]


def _bounds(interval: Interval) -> tuple[float, float]:
    return interval.lower, interval.upper


def _rouge(n: int, reference: str, hypothesis: str) -> dict[str, float]:
    return asdict(rouge.rouge_n(reference, hypothesis, n) if n else rouge.rouge_l(reference, hypothesis))


FUNCTIONS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "krippendorff_alpha": alpha.krippendorff_alpha,  # ratings, scaling="nominal" | "ordinal" | "interval" | "ratio"
        "krippendorff_alpha_nominal": partial(alpha.krippendorff_alpha, scaling="nominal"),
        "krippendorff_alpha_ordinal": partial(alpha.krippendorff_alpha, scaling="ordinal"),
        "krippendorff_alpha_interval": partial(alpha.krippendorff_alpha, scaling="interval"),
        "krippendorff_alpha_ratio": partial(alpha.krippendorff_alpha, scaling="ratio"),
        "gwet_ac1": kappas.gwet_ac1,  # ratings
        "gwet_ac1_counts": kappas.ac1_of_counts,
        "gwet_ac1_table": kappas.ac1_of_table,
        "fleiss_kappa": kappas.fleiss_kappa,  # counts
        "fleiss_kappa_ratings": lambda table: kappas.fleiss_kappa(ratings.counted(table)[0]),
        "percent_agreement": kappas.percent_agreement,  # counts
        "cohen_kappa": kappas.cohen_kappa,  # table, weights=None | "linear" | "quadratic"
        "scott_pi": kappas.scott_pi,  # table
        "contingency_table": ratings.contingency,  # two lists of labels
        "dawid_skene": em,
        "bradley_terry": strengths,
        "davidson_tie_parameter": tie_parameter,
        "alt_test": alternative_annotator,
        "benjamini_yekutieli": alt_test.beaten,  # p-values, share of false discoveries: which are rejected
        "rogan_gladen": prevalence.rogan_gladen,  # apparent, sensitivity, specificity
        "rogan_gladen_interval": rogan_gladen_interval,
        "clustered_se": clustered.clustered_error,  # values, clusters by item
        "clustered_se_miller": clustered.miller_error,
        "wilson": wilson,  # successes, trials
        "clopper_pearson": clopper_pearson,
        "mcnemar": mcnemar,
        "ppi_mean": ppi_mean,
        "isotonic": fitted_isotonic,
        "horvitz_thompson": labels.horvitz_thompson,  # drawn values, their chances: the total
        "spearman": correlation.spearman,
        "kendall": correlation.kendall,  # tau-b
        # Hypotheses, and either one reference each or several sets of references, as sacrebleu's corpus_bleu.
        "bleu": sacre.bleu,
        "bleu_parts": sacre.bleu_parts,  # score, precisions, brevity penalty
        "ter": sacre.ter,
        "chrf": sacre.chrf,
        "rouge1": partial(_rouge, 1),  # reference, hypothesis: precision, recall, f
        "rouge2": partial(_rouge, 2),
        "rougeL": partial(_rouge, 0),
    }
)
