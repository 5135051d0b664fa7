"""What users of the endpoint notice of a fault: short completions one after the other while it lasts.

They are sent under the internal key, which drift and reports leave out, and every answered one has to be in the log
of requests exactly once.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import httpx

from ropewalk.bus.cancelling import pass_on_cancellation
from ropewalk.drills.scene import Ground
from ropewalk.drills.scorecard import check
from ropewalk.drills.tasks import end, until
from ropewalk.events.drill import DrillCheck
from ropewalk.events.serving import RequestLogBatch

_PACE_S = 0.2
_TIMEOUT = httpx.Timeout(30.0, connect=2.0)
_LOGGED_WITHIN_S = 30.0
_BODY = {"prompt": "def ", "max_tokens": 4, "temperature": 0}


@dataclass(frozen=True, kw_only=True)
class RequestOutcome:
    """How one request went. Times in seconds since the first; `error` is empty if it was answered."""

    request_id: str
    began_s: float
    took_s: float
    error: str = ""


class EndpointUsers:
    """Sends requests while inside, if a model is served. `hit`: the fault is aimed at the endpoint itself."""

    def __init__(self, ground: Ground, *, hit: bool) -> None:
        self._ground = ground
        self._hit = hit
        self._answers: list[RequestOutcome] = []
        self._task: asyncio.Task[None] | None = None
        self._client = httpx.AsyncClient(
            base_url=ground.client.settings.openai_url,
            headers={"authorization": f"Bearer {ground.crew.internal_key()}"},
            timeout=_TIMEOUT,
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        self._log_from = await self._ground.bus.end(stream="INFER")
        if model := await self._served_model():
            self._began = asyncio.get_running_loop().time()
            self._task = asyncio.create_task(self._send(model))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            await end(self._task)
        await self._client.aclose()

    async def judged(self) -> tuple[DrillCheck, ...]:
        """Send until one more is answered, then say how all went. Nothing if no model is served."""
        if self._task is None:
            return ()
        seen = len(self._answers)
        back = await until(
            lambda: not all(answer.error for answer in self._answers[seen:]), self._ground.options.patience_s, _PACE_S
        )
        await end(self._task)
        ids = {answer.request_id for answer in self._answers if not answer.error}
        return (judge(self._answers, hit=self._hit, back=back), judge_log(ids, await self._logged(ids), hit=self._hit))

    async def _served_model(self) -> str:
        try:
            response = await self._client.get("/models")
            found = response.json()["data"] if response.status_code == httpx.codes.OK else []
        except (httpx.HTTPError, ValueError, KeyError):
            return ""
        return str(found[0]["id"]) if found else ""

    async def _send(self, model: str) -> None:
        while True:
            began = asyncio.get_running_loop().time()
            request_id, error = await self._completion(model)
            pass_on_cancellation()
            took_s = asyncio.get_running_loop().time() - began
            answer = RequestOutcome(request_id=request_id, began_s=began - self._began, took_s=took_s, error=error)
            self._answers.append(answer)
            await asyncio.sleep(_PACE_S)

    async def _completion(self, model: str) -> tuple[str, str]:
        """The id of the answer, or what went wrong. An endpoint that is busy is asked again."""
        while True:
            try:
                response = await self._client.post("/completions", json={"model": model, **_BODY})
                # The queue is full of other people's requests: that is load, not the fault.
                if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
                    await asyncio.sleep(_PACE_S)
                    continue
                if response.status_code == httpx.codes.OK:
                    return str(response.json()["id"]), ""
                return "", f"status {response.status_code}"
            except (httpx.HTTPError, ValueError, KeyError) as error:
                return "", type(error).__name__

    async def _logged(self, wanted: set[str]) -> Counter[str]:
        """How often each request is in the log, once all are there or time is over."""
        found: Counter[str] = Counter()

        async def read() -> None:
            subject = f"{RequestLogBatch.subject_prefix()}.*"
            async for stored in self._ground.bus.follow(subject, stream="INFER", after=self._log_from):
                assert isinstance(stored.message, RequestLogBatch)
                found.update(row.request_id for row in stored.message.rows if row.request_id in wanted)
                if len(found) == len(wanted):
                    return

        if wanted:
            reading = asyncio.create_task(read())
            await asyncio.wait([reading], timeout=_LOGGED_WITHIN_S)
            await end(reading)
        return found


def judge(answers: Sequence[RequestOutcome], *, hit: bool, back: bool) -> DrillCheck:
    """Requests may fail only if the fault is aimed at the endpoint, and must be answered again in any case."""
    failed = [answer for answer in answers if answer.error]
    slowest_s = max((answer.took_s for answer in answers if not answer.error), default=0.0)
    told = f"{len(answers)} sent, {len(failed)} failed, slowest answer {slowest_s:.2f} s"
    if failed:
        away_s = failed[-1].began_s + failed[-1].took_s - failed[0].began_s
        told += f"; away for {away_s:.1f} s ({failed[-1].error})"
    return check("requests to the endpoint", back and (hit or not failed), told if back else f"{told}; not back")


def judge_log(answered: set[str], logged: Counter[str], *, hit: bool) -> DrillCheck:
    """Every answered request is in the log once. One that ended as its endpoint was killed may be missing."""
    missing = len(answered - set(logged))
    twice = sum(count > 1 for count in logged.values())
    told = f"{len(answered)} answered, {missing} missing, {twice} there twice"
    return check("requests in the log", not twice and (hit or not missing), told)
