"""Exports what the monitor sees of the whole deployment: the bus, the services, the runs, the alarms."""

import asyncio
import contextlib
from collections import Counter
from typing import Any

import orjson

from ropewalk.monitor.adapters.projections import LiveProjector
from ropewalk.projections.answering import Question, QuestionError
from ropewalk.projections.asking import STATUSES
from ropewalk.status.desk import StatusDesk
from ropewalk.status.seen import Seen
from ropewalk.telemetry.metrics import gauge, is_exporting

INTERVAL_S = 30.0  # a look takes some tenths of a second of a core
_MOST_QUEUED = 200


class DeploymentGauges:
    """Looks again and again. What is seen no longer becomes 0, else its last value would stay."""

    def __init__(self, desk: StatusDesk, projector: LiveProjector) -> None:
        self._desk = desk
        self._projector = projector
        self._ages: dict[tuple[str, str], float] = {}  # by consumer and stream
        self._queued: dict[str, int] = {}  # by stage

    async def run(self) -> None:
        """Until cancelled; at once where nothing is exported."""
        while is_exporting():
            _export(seen := (await self._desk.answer()).seen)
            self._ages = dict.fromkeys(self._ages, 0.0) | {
                (lag.consumer, lag.stream): lag.oldest_s for lag in seen.lags
            }
            for (consumer, stream), age_s in self._ages.items():
                gauge("ropewalk.queue.oldest", age_s, consumer=consumer, stream=stream)
            with contextlib.suppress(QuestionError):  # the projector still reads the log
                await self._export_runs()
            await asyncio.sleep(INTERVAL_S)

    async def _export_runs(self) -> None:
        for status in STATUSES:
            found = await self._runs(status)
            gauge("ropewalk.runs", found["matching"], status=status)
            if status == "queued":
                self._queued = dict.fromkeys(self._queued, 0) | Counter(run["stage"] for run in found["runs"])
        for stage, number in self._queued.items():
            gauge("ropewalk.stage.queued", number, stage=stage)

    async def _runs(self, status: str) -> dict[str, Any]:
        limit = _MOST_QUEUED if status == "queued" else 1
        answer = await self._projector.answer(Question(status=status, limit=limit), "run_list")
        found: dict[str, Any] = orjson.loads(answer)
        return found


def _export(seen: Seen) -> None:
    broker = seen.broker
    gauge("ropewalk.bus.answers", broker.answers)
    if broker.answers:
        gauge("ropewalk.bus.stored", broker.stored_bytes)
        gauge("ropewalk.letters.open", broker.num_dead_letters)
        gauge("ropewalk.alarms.open", len(seen.alarms))
    for stream in broker.streams:
        gauge("ropewalk.stream.size", stream.num_bytes, stream=stream.name)
        gauge("ropewalk.stream.limit", stream.max_bytes, stream=stream.name)
    for answer in seen.services:
        gauge("ropewalk.service.answers", answer.answered, service=answer.service)
