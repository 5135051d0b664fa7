"""The metrics of registered task sets, by the words of `tasksets.definition`. A new one is a file here."""

from collections.abc import Mapping
from dataclasses import replace

from ropewalk.evaluator.domain.answers import all_of_them
from ropewalk.evaluator.domain.metric import Metric
from ropewalk.evaluator.domain.metrics import bits_per_byte
from ropewalk.evaluator.domain.metrics.answers import task_metrics
from ropewalk.evaluator.domain.metrics.sets import (
    acc,
    acc_norm,
    byte_perplexity,
    exact_match,
    judged,
    pass_at_1,
    rouge_l,
    sentence_bleu,
    sentence_chrf,
    word_perplexity,
)
from ropewalk.tasksets.definition import TaskSetFile


def set_metrics(of: TaskSetFile) -> tuple[Metric, ...]:
    """Those that a task set wants, named after it."""
    known = {metric.name: metric for metric in _of_type(of)}
    return tuple(_named(known[name], of.full_name) for name in of.measured)


def _of_type(of: TaskSetFile) -> tuple[Metric, ...]:
    if of.is_judged:
        return judged.metrics(of)
    by_type: Mapping[str, tuple[Metric, ...]] = {
        "mc": (acc.METRIC, acc_norm.metric(of.delimiter)),
        "generate": (exact_match.METRIC, sentence_bleu.METRIC, sentence_chrf.METRIC, rouge_l.METRIC),
        "code": (pass_at_1.METRIC,),
        "rolling": (bits_per_byte.METRIC, byte_perplexity.METRIC, word_perplexity.METRIC),
        "schema": task_metrics(of.json_schema) if of.type == "schema" else (),
    }
    return by_type[of.type]


def _named(metric: Metric, task_set: str) -> Metric:
    """One axis for each task set: figures of different ones do not compare."""
    return replace(
        metric,
        name=f"{task_set}/{metric.name}",
        quantity=f"{metric.quantity} ({task_set})",
        select=all_of_them,
        task_set=task_set,
    )
