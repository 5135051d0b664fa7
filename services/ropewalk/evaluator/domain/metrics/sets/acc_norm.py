"""Is the right choice the likeliest for its length?"""

from dataclasses import replace

from ropewalk.evaluator.domain.metric import Metric
from ropewalk.evaluator.domain.metrics.sets import acc
from ropewalk.evaluator.domain.metrics.sets.choosing import of_choices


def metric(delimiter: str) -> Metric:
    """The delimiter before a choice does not count."""
    return replace(
        acc.METRIC,
        name="acc_norm",
        quantity="right choices by length",
        definition=(
            "The same with the log-likelihood over the number of characters of the choice, as `acc_norm` of "
            "lm-evaluation-harness: a long choice is not the worse for it."
        ),
        score=of_choices(lambda choice: float(len(choice) - len(delimiter))),
    )
