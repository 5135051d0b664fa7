"""Tasks in which the base model reads or answers documents: how far they are is told, and they have an end."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

from ropewalk.events.data import BaseModelAsked
from ropewalk.preprocessing.adapters.job import PreprocessJob
from ropewalk.preprocessing.adapters.workers import Workers
from ropewalk.stages.errors import StageError

_TELL_S = 2.0  # between two signs of life
_LOOK = 0.1  # of the minutes: then what is left is foreseen


def asked_in_time(
    job: PreprocessJob,
    workers: Workers,
    report: Callable[[object], None],
    purpose: Literal["answers", "references"],
    work: tuple[Callable[..., Any], Sequence[tuple[Any, int]]],
) -> Iterator[tuple[int, Any]]:
    """As `Workers.each`, of a function and its orders, each with its number of documents.

    Raises StageError when the minutes are over, or when it can be foreseen that twice as many would not be enough.
    """
    function, orders = work
    total, done, told, began = sum(size for _, size in orders), 0, 0.0, time.monotonic()
    seconds = 60 * job.base_minutes
    try:
        for place, result in workers.each(function, [(job.store, order) for order, _ in orders], began + seconds):
            done += orders[place][1]
            spent = time.monotonic() - began
            if spent - told > _TELL_S or done == total:
                event = BaseModelAsked(run_id=job.run_id, purpose=purpose, num_asked=done, num_documents=total)
                report((event, f"{purpose}/{done}"))
                told = spent
            else:
                report(None)  # the stage gets on
            if spent > _LOOK * seconds and spent * total > 2 * seconds * done:
                raise StageError(_too_slow(job, done, total, spent, f", {spent / 60 * total / done:.0f} in all"))
            yield place, result
    except TimeoutError:
        raise StageError(_too_slow(job, done, total, time.monotonic() - began)) from None


def _too_slow(job: PreprocessJob, done: int, total: int, seconds: float, in_all: str = "") -> str:
    return (
        f"base_model {job.recipe.base_model!r} was asked about {done:,} of {total:,} documents in {seconds / 60:.2g} "
        f"minutes{in_all}, and {job.base_minutes:g} are allowed: raise preprocessing_base_minutes or "
        "preprocessing_workers, or choose a smaller base_model or fewer records"
    )
