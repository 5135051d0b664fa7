"""Reading everything a card needs from the streams."""

import asyncio
import time
from collections.abc import Sequence

from ropewalk.bus.codec import Stored
from ropewalk.client.client import Client
from ropewalk.client.errors import NotMeasurableError
from ropewalk.client.ledgers import ledger_verdict
from ropewalk.corpus.ledger import LedgerVerdict
from ropewalk.events.base import Message
from ropewalk.events.monitoring import CostRecorded
from ropewalk.events.run import StageCompleted
from ropewalk.events.serving import RequestLog, RequestLogBatch
from ropewalk.events.training import StepMetrics, StepMetricsBatch
from ropewalk.report.collect import CardEvidence
from ropewalk.report.learning import learning_of
from ropewalk.report.samples import samples_of, specialist_of
from ropewalk.report.traffic import MOST_REQUESTS
from ropewalk.storage.objects import ObjectNotFoundError, ObjectStore

_POLL_S = 0.3


async def gather(client: Client, run_id: str, objects: ObjectStore) -> CardEvidence:
    """The evidence about a run as it is now. Raises UnknownRunError."""
    timeline = await client.timeline(run_id)
    return CardEvidence(
        timeline=timeline,
        steps=await _steps(client, run_id),
        requests=await _requests(client, run_id),
        ledger=await asyncio.to_thread(_verdict, timeline, objects),
        samples=await asyncio.to_thread(samples_of, timeline, objects),
        specialist=await asyncio.to_thread(specialist_of, timeline, objects),
        learning=await learning_of(client, timeline, objects),
        openai_url=client.settings.openai_url,
    )


async def wait_for_costs(client: Client, run_id: str, timeout_s: float) -> None:
    """Wait a while until the monitor has priced every stage that ended."""
    # The monitor prices a stage when it has read its end from the log, a moment after everybody else.
    deadline = time.monotonic() + timeout_s
    while unpriced(await client.timeline(run_id)) and time.monotonic() < deadline:
        await asyncio.sleep(_POLL_S)


def unpriced(timeline: Sequence[Stored[Message]]) -> set[str]:
    """Stages that ended and were not priced."""
    ended = {stored.message.stage for stored in timeline if isinstance(stored.message, StageCompleted)}
    return ended - {stored.message.stage for stored in timeline if isinstance(stored.message, CostRecorded)}


def _verdict(timeline: list[Stored[Message]], objects: ObjectStore) -> LedgerVerdict | None:
    try:
        return ledger_verdict(timeline, objects)
    except (NotMeasurableError, ObjectNotFoundError):
        return None


async def _steps(client: Client, run_id: str) -> list[StepMetrics]:
    subject = f"{StepMetricsBatch.subject_prefix()}.{run_id}"
    return [
        row
        async for stored in client.bus.read(subject, stream="TEL")
        if isinstance(stored.message, StepMetricsBatch)
        for row in stored.message.rows
    ]


async def _requests(client: Client, run_id: str) -> list[RequestLog]:
    """The first of them: a model in production may have answered millions, and a card needs no more."""
    subject = f"{RequestLogBatch.subject_prefix()}.{run_id}"
    rows: list[RequestLog] = []
    async for stored in client.bus.read(subject, stream="INFER"):
        if isinstance(stored.message, RequestLogBatch):
            rows += stored.message.rows
        if len(rows) >= MOST_REQUESTS:
            break
    return rows
