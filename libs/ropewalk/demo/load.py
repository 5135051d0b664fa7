"""Sends prompts to the OpenAI endpoint as several people would: at once, half of them streaming."""

import asyncio
import random
from collections.abc import Callable, Sequence

import httpx

from ropewalk.client.settings import ClientSettings

CONCURRENCY = 8
_TIMEOUT = httpx.Timeout(60.0, connect=5.0)
_RETRIES = 5
_RETRY_S = 0.3


async def send_all(
    settings: ClientSettings,
    model: str,
    prompts: Sequence[str],
    progress: Callable[[int], None],
    is_enough: Callable[[], bool],
) -> tuple[int, list[str]]:
    """Send until all prompts are through or it is enough; `progress` gets the number of requests that ended.

    Returns that number, and for each that failed the endpoint's own words.
    """
    waiting = list(enumerate(prompts))[::-1]  # popped from the end: the first prompt goes first
    errors: list[str] = []
    ended = 0  # shared without a lock: all people are tasks of one event loop
    headers = {"authorization": f"Bearer {settings.api_key}"}

    async def person(client: httpx.AsyncClient) -> None:
        nonlocal ended
        while waiting and not is_enough():
            number, prompt = waiting.pop()
            body = {"model": model, "prompt": prompt, "max_tokens": random.Random(number).randint(8, 16)}
            if error := await _send(client, {**body, "temperature": 0.8, "stream": number % 2 == 1}):
                errors.append(error)
            ended += 1
            progress(ended)

    async with httpx.AsyncClient(
        base_url=settings.openai_url, headers=headers, timeout=_TIMEOUT, trust_env=False
    ) as client:
        await asyncio.gather(*(person(client) for _ in range(CONCURRENCY)))
    return ended, errors


async def _send(client: httpx.AsyncClient, body: dict[str, object]) -> str:
    """One completion; returns what went wrong, empty if nothing. Waits when the endpoint is busy (429)."""
    error = ""
    for attempt in range(_RETRIES):
        try:
            async with client.stream("POST", "/completions", json=body) as response:
                content = await response.aread()
        except httpx.TransportError as failure:
            error = f"{type(failure).__name__}: {failure}"
        else:
            if response.status_code == httpx.codes.OK:
                return ""
            error = f"status {response.status_code}: {content[:200].decode('utf-8', 'replace')}"
            if response.status_code != httpx.codes.TOO_MANY_REQUESTS:
                return error
        await asyncio.sleep(_RETRY_S * (attempt + 1))
    return error
