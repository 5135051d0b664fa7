"""Bits per byte on the scale of a perplexity."""

from dataclasses import replace

from ropewalk.evaluator.domain.metric import Metric
from ropewalk.evaluator.domain.metrics import bits_per_byte
from ropewalk.evaluator.domain.statistics import per_byte, perplexity

METRIC: Metric = replace(
    bits_per_byte.METRIC,
    name="byte_perplexity",
    quantity="perplexity of a byte",
    definition="Two to the power of the bits per byte, as `byte_perplexity` of lm-evaluation-harness.",
    level=perplexity(per_byte),
    gain=None,
)
