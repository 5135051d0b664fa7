"""Request logs of simulated traffic, as serving packs them: 100 rows a message, 100 requests a second of their time.

Most go to one model version whose latency doubles for a while now and then; one version shifts back and forth all the
time, one fails from its first request, and some ask for models that there are not, each under another name.
"""

import random
import sysconfig
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ropewalk.bus.codec import Stored
from ropewalk.events.base import Message
from ropewalk.events.envelope import Envelope
from ropewalk.events.serving import RequestLog, RequestLogBatch

PER_S = 100
ROWS = 100  # in a message
_POOL = 5_000  # different requests, from which rows are made
_SLOW_EVERY, _SLOW_FOR = 500_000, 50_000  # requests
_FLAPS_EVERY = 2_000
_KINDS = ("steady",) * 90 + ("flapping",) * 6 + ("failing",) * 2 + ("made up",) * 2  # of each 100 messages


class Traffic:
    """Endless; `start` is the time of the first request."""

    def __init__(self, start: datetime, seed: int = 1) -> None:
        self._start = start
        self._random = random.Random(seed)
        texts = [path.read_text(encoding="utf-8", errors="replace") for path in _modules()]
        self._pool = [self._shape(self._random.choice(texts)) for _ in range(_POOL)]
        self._number = 0
        self._sequence = 0

    def messages(self, count: int) -> list[Stored[Message]]:
        """The next messages, as they lie in the stream INFER."""
        return [self._message() for _ in range(count)]

    def _message(self) -> Stored[Message]:
        self._sequence += 1
        kind = _KINDS[self._sequence * 37 % len(_KINDS)]
        rows = tuple(self._row(kind) for _ in range(ROWS))
        message = RequestLogBatch.model_construct(run_id=rows[0].run_id, rows=rows)
        envelope = Envelope(
            id=f"soak-{self._sequence}",
            type=message.type_name(),
            source="/svc/serving",
            time=rows[-1].time,
            run_id=message.run_id,
        )
        return Stored(self._sequence, datetime.now(UTC), envelope, message)

    def _row(self, kind: str) -> RequestLog:
        number, self._number = self._number, self._number + 1
        time = self._start + timedelta(seconds=number / PER_S)
        fields = self._random.choice(self._pool) | {
            "time": time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "request_id": f"{number:032x}",
            "trace_id": f"{number:032x}",
            "key_id": f"key-{number % 1_000}",
        }
        return RequestLog.model_construct(**fields | _of_kind(kind, number, fields["latency_ms"]))

    def _shape(self, text: str) -> dict[str, Any]:
        """What many requests have in common with one that might have been."""
        start = self._random.randrange(max(1, len(text) - 1_000))
        tokens = self._random.randint(8, 64)
        return {
            "model": "python-stdlib",
            "model_version": 1,
            "run_id": "soak-1",
            "checkpoint_id": "soak-1-1-400",
            "route": "completions",
            "status": 200,
            "finish_reason": "length",
            "stream": False,
            "latency_ms": tokens * self._random.lognormvariate(2.0, 0.2),
            "ttft_ms": self._random.lognormvariate(3.0, 0.3),
            "prompt_tokens": 60,
            "completion_tokens": tokens,
            "prompt": text[start : start + self._random.randint(60, 400)],
            "completion": text[start + 400 : start + 400 + 4 * tokens],
            "logprob_mean": self._random.gauss(-1.4, 0.3),
            "error": "",
        }


def _of_kind(kind: str, number: int, latency_ms: float) -> dict[str, Any]:
    if kind == "steady":
        return {"latency_ms": 2 * latency_ms} if number % _SLOW_EVERY > _SLOW_EVERY - _SLOW_FOR else {}
    if kind == "flapping":
        factor = 4 if number // _FLAPS_EVERY % 2 else 1
        return {"model_version": 2, "run_id": "soak-2", "latency_ms": factor * latency_ms}
    failed = {"error": "overloaded", "completion_tokens": 0, "completion": "", "finish_reason": "error"}
    if kind == "failing":
        return failed | {"model_version": 3, "run_id": "soak-3", "status": 503}
    return failed | {"model": f"made-up-{number}", "model_version": 0, "run_id": "unrouted", "status": 404}


def _modules() -> list[Path]:
    return sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
