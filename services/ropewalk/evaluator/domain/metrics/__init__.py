"""The metrics, in the order of the report. A new one is a module here and a place in this list.

Which of them decide is in `domain/roles.py`.
"""

from ropewalk.evaluator.domain.metric import Metric
from ropewalk.evaluator.domain.metrics import bits_per_byte, parse_rate

METRICS: tuple[Metric, ...] = (
    bits_per_byte.METRIC,
    parse_rate.METRIC,
)
