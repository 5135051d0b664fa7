"""Which share of the sequences of up to six letters is in a right answer, and of its in ours?"""

from ropewalk.evaluator.domain.metrics.sets.overlap import overlap
from ropewalk.evaluator.domain.statistics import per_example
from ropewalk.evaluator.domain.texts.sacre import sentence_chrf

METRIC = overlap(
    "sentence_chrf",
    "Mean over the items of sacrebleu's sentence chrF2 against the nearest right answer, 0 to 100.",
    sentence_chrf,
    (per_example, per_example),
)
