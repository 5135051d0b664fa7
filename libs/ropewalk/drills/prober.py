"""A publisher of numbered probes: each is sent until it is acknowledged, so a silence has a begin and an end."""

import asyncio
import json
from dataclasses import dataclass

import nats.errors

from ropewalk.bus.bus import Bus
from ropewalk.bus.cancelling import pass_on_cancellation
from ropewalk.bus.codec import Stored
from ropewalk.drills.log import timeline_of
from ropewalk.drills.scoring import doubled_probes, missing_probes
from ropewalk.drills.tasks import Background, until
from ropewalk.events.base import Message
from ropewalk.events.drill import DrillProbed

_PACE_S = 0.05  # seconds between two probes: how exact the moments of a scorecard can be
_TIMEOUT_S = 0.5  # seconds; longer than any acknowledgement of a healthy broker takes


@dataclass(frozen=True, kw_only=True)
class ProbeVerdict:
    """What became of the probes. `missing` were acknowledged and are not in the log; `first` is behind the fault."""

    num_stored: int
    missing: tuple[int, ...]
    doubled: tuple[str, ...]
    first: Stored[Message] | None


class Prober(Background):
    """Probes one after the other while inside. `acknowledged` are the numbers that the log has promised to keep."""

    def __init__(self, bus: Bus, mark: Stored[Message], drill_id: str) -> None:
        self._bus = bus
        self._run_id = mark.message.run_id
        self._cause_id = mark.envelope.id
        self._drill_id = drill_id
        self.number = 0  # under way now
        self.acknowledged: list[int] = []
        self.refused_at: float | None = None  # loop time of the first send without an acknowledgement

    async def until(self, num_acknowledged: int, patience_s: float) -> bool:
        """Wait until that many are acknowledged in all."""
        return await until(lambda: len(self.acknowledged) >= num_acknowledged, patience_s, _PACE_S)

    async def refused(self, patience_s: float) -> bool:
        """Wait until a send was not acknowledged."""
        return await until(lambda: self.refused_at is not None, patience_s, _PACE_S)

    async def verdict(self, under_way: int) -> ProbeVerdict:
        """Compare what was acknowledged with the log. `under_way` is the number that was sent when the fault came."""
        stored = await timeline_of(self._bus, f"{DrillProbed.subject_prefix()}.{self._run_id}")
        numbers = [each.message.number if isinstance(each.message, DrillProbed) else 0 for each in stored]
        return ProbeVerdict(
            num_stored=len(stored),
            missing=missing_probes(self.acknowledged, numbers),
            doubled=doubled_probes(stored),
            first=next((each for each, number in zip(stored, numbers, strict=True) if number > under_way), None),
        )

    async def work(self) -> None:
        """Send each number until it is acknowledged."""
        while True:
            self.number += 1
            await self._send_surely(self.number)
            pass_on_cancellation()
            self.acknowledged.append(self.number)
            await asyncio.sleep(_PACE_S)

    async def _send_surely(self, number: int) -> None:
        probe = DrillProbed(run_id=self._run_id, drill_id=self._drill_id, number=number)
        outgoing = self._bus.prepare(probe, cause_id=self._cause_id, key=str(number))
        # The same id each time: the server's own de-duplication makes a repeated send one message.
        while not await self._acknowledged(outgoing.subject, outgoing.body, outgoing.headers):
            pass_on_cancellation()
            self.refused_at = self.refused_at or asyncio.get_running_loop().time()
            await asyncio.sleep(_PACE_S)

    async def _acknowledged(self, subject: str, body: bytes, headers: dict[str, str]) -> bool:
        try:
            reply = await self._bus.connection.request(subject, body, timeout=_TIMEOUT_S, headers=headers)
        except (nats.errors.Error, TimeoutError):
            return False
        # The server answers a refusal, a full disk say, with an error as its acknowledgement; empty is an error, too.
        return "error" not in json.loads(reply.data or b'{"error": {}}')
