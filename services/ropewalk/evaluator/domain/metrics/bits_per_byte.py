"""How well a model predicts held-out text: bits per byte compares models with different tokenizers."""

from collections.abc import Sequence

from ropewalk.evaluator.domain.excerpts import choose
from ropewalk.evaluator.domain.metric import Effort, Finding, Metric
from ropewalk.evaluator.domain.statistics import per_byte
from ropewalk.evaluator.domain.tasks import Item, TaskSet
from ropewalk.evaluator.ports import Scorer


def _select(documents: TaskSet, effort: Effort) -> TaskSet:
    return TaskSet("held-out documents", choose(documents.items, effort.seed, effort.times))


def _score(scorer: Scorer, items: Sequence[Item]) -> list[Finding] | None:
    bits = scorer.bits(items)
    return None if bits is None else [Finding(each) for each in bits]


METRIC = Metric(
    name="bits_per_byte",
    quantity="bits per byte",
    better="lower",
    definition=(
        "Negative log2-likelihood of all tokens of the held-out excerpts over their UTF-8 bytes. The first token of "
        "an excerpt is predicted from the end token; the end of the excerpt is not scored. For conversations: the "
        "answers given all turns before them, over the bytes of the answers."
    ),
    select=_select,
    score=_score,
    level=per_byte,
    gain=per_byte,
)
