"""Which share of the words, and of the sequences of up to four, is in the right answers?"""

from ropewalk.evaluator.domain.metrics.sets.overlap import overlap
from ropewalk.evaluator.domain.statistics import per_example
from ropewalk.evaluator.domain.texts.sacre import sentence_bleu

METRIC = overlap(
    "sentence_bleu",
    "Mean over the items of sacrebleu's sentence BLEU against all right answers, 0 to 100 (13a tokens, exponential "
    "smoothing, no order longer than the answer); not the BLEU of a corpus, which published figures are.",
    sentence_bleu,
    (per_example, per_example),
)
