"""The steps of a run as the analytics database has them, each as last taken, a page at a time."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

from ropewalk.client.client import Client
from ropewalk.client.errors import ClientError
from ropewalk.events.base import RUN_ID_PATTERN
from ropewalk.events.foreign import quoted

_PAGE = 20_000
_COLUMNS = (
    "loss", "grad_norm", "lr", "tokens", "step_s", "data_s", "checkpoint_s", "compile_s", "evaluate_s", "attempt",
)  # fmt: skip


@dataclass(frozen=True)
class StepValues:
    """One step: when it ended, in seconds since 1970, and its numbers by name; those that are not finite are left out.

    Durations are in seconds, the loss in nats per token.
    """

    step: int
    time_unix: float
    values: dict[str, float]


async def steps_of(client: Client, run_id: str) -> AsyncIterator[list[StepValues]]:
    """All of them in order. Raises ClientError for what is no run's id, and as Client.query does."""
    if not re.fullmatch(RUN_ID_PATTERN, run_id):
        raise ClientError(f"{quoted(run_id)} is no id of a run: `ropewalk runs` lists them")
    first = 0
    while True:
        table = await client.query(page_sql(run_id, first))
        page = [_values(row) for row in table.rows]
        if page:
            yield page
        if len(page) < _PAGE:
            return
        first = page[-1].step + 1


def page_sql(run_id: str, first: int) -> str:
    """The steps of a run from `first` on."""
    latest = ", ".join(f"argMax({name}, (attempt, time))" for name in _COLUMNS)
    return (
        f"SELECT step, toFloat64(argMax(time, (attempt, time))), {latest} FROM ropewalk.train_step "
        f"WHERE run_id = '{run_id}' AND step >= {first} GROUP BY step ORDER BY step LIMIT {_PAGE}"
    )


def _values(row: tuple[object, ...]) -> StepValues:
    step, time_unix, *numbers = row
    named = zip(_COLUMNS, numbers, strict=True)
    values = {name: float(str(number)) for name, number in named if number is not None}
    spent_s = values["step_s"] + values["checkpoint_s"]
    if spent_s > 0:
        values["tokens_per_s"] = values["tokens"] / spent_s
    return StepValues(int(str(step)), float(str(time_unix)), values)
