"""Is the right choice the likeliest?"""

from ropewalk.evaluator.domain.answers import all_of_them
from ropewalk.evaluator.domain.metric import Metric
from ropewalk.evaluator.domain.metrics.sets.choosing import of_choices
from ropewalk.evaluator.domain.statistics import example_share, paired_example_share

METRIC = Metric(
    name="acc",
    quantity="right choices",
    better="higher",
    unit="share",
    definition=(
        "Share of items whose right choice has the highest log-likelihood behind the prompt, as `acc` of "
        "lm-evaluation-harness."
    ),
    select=all_of_them,
    score=of_choices(lambda _: 1.0),
    level=example_share,
    gain=paired_example_share,
)
