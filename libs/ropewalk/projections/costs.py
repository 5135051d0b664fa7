"""What runs cost, per stage. Every CostRecorded counts once, summed without rounding, so the order does not matter."""

from math import fsum
from typing import Any

from ropewalk.bus.codec import Stored
from ropewalk.events.monitoring import CostRecorded
from ropewalk.projections.fold import Fold, Json, Record, collect, collected, run_of

_SUMMED = ("seconds", "cpu_seconds", "gpu_seconds", "usd")


def _recorded(record: Record, stored: Stored[CostRecorded]) -> None:
    cost = stored.message
    collect(record, cost.stage, stored, [getattr(cost, name) for name in _SUMMED])


def _view(_: str, record: Record) -> Json:
    stages = {stage: [value for _, value in collected(record, stage)] for stage in record}
    return {
        "stages": {stage: _sums(values) for stage, values in stages.items()},
        "total": _sums([value for values in stages.values() for value in values]),
    }


def _sums(values: list[list[float]]) -> dict[str, Any]:
    sums = [fsum(column) for column in zip(*values, strict=True)]
    return {"attempts": len(values), **dict(zip(_SUMMED, sums, strict=True))}


COSTS = Fold(name="costs", version=2, key_of=run_of, view=_view, steps={CostRecorded: _recorded})
