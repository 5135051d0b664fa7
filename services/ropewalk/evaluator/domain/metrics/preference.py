"""Which of two answers to the same turns does a model prefer? For runs that learn a preference.

What decides is by how much a model is for the chosen answer in comparison with the base model that both it and its
opponent were made from: the implicit reward of an answer y is β log(π(y|x) / π_base(y|x)) (Rafailov et al. 2023,
equation 5). Which of two whole answers is likelier is mostly a matter of their lengths, and training on preferences
rarely turns it round (Chen et al. 2024), so that is shown only.
"""

from collections.abc import Callable, Sequence

from ropewalk.evaluator.domain.excerpts import choose_pairs
from ropewalk.evaluator.domain.metric import Effort, Finding, Metric
from ropewalk.evaluator.domain.statistics import example_mean, example_mean_gain
from ropewalk.evaluator.domain.tasks import Item, TaskSet
from ropewalk.evaluator.ports import Scorer

LIKELIER, REWARDED = "likelier_answer", "rewarded_answer"
_ANSWERS = "Log-probability of the whole last answer given the turns before it, with the token that ends it."
DEFINITIONS = {
    LIKELIER: f"Share of held-out pairs of which the chosen answer is likelier than the rejected one. {_ANSWERS}",
    REWARDED: (
        "Share of held-out pairs of which the chosen answer has become likelier by more than the rejected one, in "
        "comparison with the run's base model (the implicit reward of DPO is higher); one half for a pair of which "
        f"nothing has changed, as for every pair of the base model itself. {_ANSWERS}"
    ),
}

_Margins = Callable[[Scorer, tuple[Item, ...]], Sequence[float] | None]


def metrics(base: Scorer) -> tuple[Metric, ...]:
    """What is asked beside `METRICS`; `base` is what the run began with."""

    known: dict[tuple[int, tuple[Item, ...]], Sequence[float] | None] = {}

    def margins(scorer: Scorer, items: tuple[Item, ...]) -> Sequence[float] | None:
        key = (id(scorer), items)  # both metrics ask all scorers, one of which may be the base
        if key not in known:
            known[key] = scorer.margins(items)
        return known[key]

    def rewards(scorer: Scorer, items: tuple[Item, ...]) -> Sequence[float] | None:
        ours, before = margins(scorer, items), margins(base, items)
        if ours is None or before is None:
            return None
        return [now - then for now, then in zip(ours, before, strict=True)]

    return (
        _share(REWARDED, "pairs in which the chosen answer gained more", rewards),
        _share(LIKELIER, "pairs in which the chosen answer is likelier", margins),
    )


def _share(name: str, quantity: str, of: _Margins) -> Metric:
    def score(scorer: Scorer, items: Sequence[Item]) -> list[Finding] | None:
        found = of(scorer, tuple(items))
        return None if found is None else [Finding(_preferred(each)) for each in found]

    return Metric(
        name=name,
        quantity=quantity,
        better="higher",
        unit="share",
        definition=DEFINITIONS[name],
        select=_select,
        score=score,
        level=example_mean,
        gain=example_mean_gain,
    )


def _select(documents: TaskSet, effort: Effort) -> TaskSet:
    return TaskSet("held-out pairs", choose_pairs(documents.items, effort.seed, effort.times))


def _preferred(margin: float) -> float:
    return 0.5 if margin == 0 else float(margin > 0)  # what is no number is a miss
