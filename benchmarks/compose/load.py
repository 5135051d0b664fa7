"""People at the endpoint: so many requests a second whatever becomes of the answers, none sent twice.

Half of them stream. Prompts repeat and are continued greedily, so every answer is known; every answered request must
be in the table of requests exactly once. Bounded: at most `_MOST_OPEN` at a time, and what cannot be sent is a failure.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Self

import clickhouse_connect
import httpx

from ropewalk.client import ClientSettings, clickhouse

_MOST_OPEN = 400
_TIMEOUT = httpx.Timeout(60.0, connect=10.0)
_TOKENS = 8
_PROMPTS = tuple(f"def {name}(" for name in ("add", "close", "read", "main", "open", "run", "test", "get"))
_LOGGED_WITHIN_S = 90.0
_LOGGED = "SELECT request_id, count() FROM ropewalk.inference WHERE request_id IN {ids:Array(String)} GROUP BY 1"
_ASKED_AT_ONCE = 5000
_MOST_SAID = 200  # characters kept of why a request failed


@dataclass
class Told:
    """What became of the requests. Times in seconds."""

    sent: int = 0
    ids: list[str] = field(default_factory=list)  # of those that were answered in full
    took_s: list[float] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    wrong: int = 0
    failed_at: list[float] = field(default_factory=list)  # since the first request


class Load:
    """Asks while inside. `model` may pin a version."""

    def __init__(self, settings: ClientSettings, model: str, rate: float) -> None:
        self.told = Told()
        self._settings = settings
        self._model = model
        self._rate = rate
        self.known: dict[str, str] = {}  # prompt -> its answer before all others
        self._open: set[asyncio.Task[None]] = set()
        self._client = httpx.AsyncClient(
            base_url=settings.openai_url,
            headers={"authorization": f"Bearer {settings.api_key}"},
            timeout=_TIMEOUT,
            limits=httpx.Limits(max_connections=_MOST_OPEN, max_keepalive_connections=20, keepalive_expiry=2.0),
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        for prompt in _PROMPTS:
            _, self.known[prompt] = await self._whole(prompt)
        self._began = time.monotonic()
        self._sending = asyncio.create_task(self._send())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._sending.cancel()
        if self._open:
            await asyncio.wait(self._open, timeout=2 * 60.0)
        await self._client.aclose()

    async def _send(self) -> None:
        """On time: a pause of this process is made up for, as by people who know nothing of it."""
        while True:
            due = self._began + self.told.sent / self._rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            self.told.sent += 1
            if len(self._open) >= _MOST_OPEN:
                self._fail("too many were open")
                continue
            task = asyncio.create_task(self._ask(self.told.sent))
            self._open.add(task)
            task.add_done_callback(self._open.discard)

    async def _ask(self, number: int) -> None:
        prompt, began = _PROMPTS[number // 2 % len(_PROMPTS)], time.monotonic()
        try:
            request_id, text = await (self._streamed(prompt) if number % 2 else self._whole(prompt))
        except httpx.HTTPStatusError as error:
            self._fail(f"status {error.response.status_code}: {error.response.text[:_MOST_SAID]}")
        except (httpx.HTTPError, ValueError, KeyError, IndexError) as error:
            self._fail(f"{type(error).__name__}: {str(error)[:_MOST_SAID]}")
        else:
            self.told.ids.append(request_id)
            self.told.took_s.append(time.monotonic() - began)
            self.told.wrong += text != self.known[prompt]

    async def _whole(self, prompt: str) -> tuple[str, str]:
        response = await self._client.post("/completions", json=self._body(prompt))
        response.raise_for_status()
        answer = response.json()
        return answer["id"], answer["choices"][0]["text"]

    async def _streamed(self, prompt: str) -> tuple[str, str]:
        """Raises ValueError for a stream that breaks off or ends with an error."""
        text, request_id = "", ""
        async with self._client.stream("POST", "/completions", json=self._body(prompt) | {"stream": True}) as response:
            if response.is_error:
                await response.aread()
            response.raise_for_status()
            async for line in response.aiter_lines():
                if line == "data: [DONE]":
                    return request_id, text
                if line:
                    chunk = json.loads(line.removeprefix("data: "))
                    request_id = chunk["id"]
                    text += "".join(choice["text"] for choice in chunk["choices"])
        raise ValueError("the stream broke off")

    def _body(self, prompt: str) -> dict[str, Any]:
        return {"model": self._model, "prompt": prompt, "max_tokens": _TOKENS, "temperature": 0}

    def _fail(self, why: str) -> None:
        self.told.failures[why] += 1
        at_s = round(time.monotonic() - self._began, 1)
        self.told.failed_at.append(at_s)
        print(f"  {at_s} s: {why}", file=sys.stderr)

    async def verdict(self) -> dict[str, Any]:
        """After the end: how many failed, how long they took, and whether the table of requests has each once."""
        told = self.told
        logged = await asyncio.to_thread(self.rows_of, told.ids)
        times = sorted(told.took_s)
        return {
            "sent": told.sent,
            "answered": len(told.ids),
            "failed": sum(told.failures.values()),
            "failures": dict(told.failures),
            "failed_between_s": [told.failed_at[0], told.failed_at[-1]] if told.failed_at else [],
            "wrong_answers": told.wrong,
            "same_id_twice": len(told.ids) - len(set(told.ids)),
            "rows_missing": len(set(told.ids) - set(logged)),
            "rows_twice": sum(count > 1 for count in logged.values()),
            "p50_ms": round(1000 * times[len(times) // 2]) if times else None,
            "p99_ms": round(1000 * times[int(0.99 * len(times))]) if times else None,
            "max_ms": round(1000 * times[-1]) if times else None,
        }

    def rows_of(self, ids: list[str]) -> dict[str, int]:
        """How often each request is in the table, once all are there or time is over."""
        client = clickhouse_connect.get_client(**clickhouse(self._settings))
        found: dict[str, int] = {}
        deadline = time.monotonic() + _LOGGED_WITHIN_S
        while time.monotonic() < deadline and len(found) < len(set(ids)):
            time.sleep(1.0)
            for first in range(0, len(ids), _ASKED_AT_ONCE):
                part = ids[first : first + _ASKED_AT_ONCE]
                found |= dict(client.query(_LOGGED, parameters={"ids": part}).result_rows)
        client.close()
        return found
