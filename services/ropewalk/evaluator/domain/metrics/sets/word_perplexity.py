"""How many words a model hesitates between."""

from dataclasses import replace

from ropewalk.evaluator.domain.metric import Metric
from ropewalk.evaluator.domain.metrics import bits_per_byte
from ropewalk.evaluator.domain.statistics import per_word, perplexity

METRIC: Metric = replace(
    bits_per_byte.METRIC,
    name="word_perplexity",
    quantity="perplexity of a word",
    definition=(
        "Two to the power of the bits per word, where white space parts words, as `word_perplexity` of "
        "lm-evaluation-harness."
    ),
    level=perplexity(per_word),
    gain=None,
)
