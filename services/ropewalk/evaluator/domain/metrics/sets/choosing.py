"""What metrics have in common that look at which choice a model finds likeliest."""

from collections.abc import Callable, Sequence

from ropewalk.evaluator.domain.metric import Finding
from ropewalk.evaluator.domain.tasks import Item
from ropewalk.evaluator.ports import Chooser, Scorer


def of_choices(size: Callable[[str], float]) -> Callable[[Scorer, Sequence[Item]], list[Finding] | None]:
    """1 where the right choice has the highest log-likelihood over its `size`; among equals the first is chosen."""

    def score(scorer: Scorer, items: Sequence[Item]) -> list[Finding] | None:
        if not isinstance(scorer, Chooser):
            return None
        weighed = [
            [nats / size(choice) for nats, choice in zip(each, item.choices, strict=True)]
            for each, item in zip(scorer.likelihoods(items), items, strict=True)
        ]
        chosen = [item.choices[each.index(max(each))] for each, item in zip(weighed, items, strict=True)]
        return [Finding(float(choice in item.references)) for choice, item in zip(chosen, items, strict=True)]

    return score
