"""The two HTTP interfaces a user talks to: ClickHouse for questions, OpenAI for completions."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx

from ropewalk.client.errors import EndpointRefusedError, NotKnownError, UnreachableError
from ropewalk.client.settings import ClientSettings
from ropewalk.events.foreign import one_line

_TIMEOUT = httpx.Timeout(60.0, connect=5.0)
_NOT_KNOWN = ("Code: 516.", "Code: 194.")  # ClickHouse: AUTHENTICATION_FAILED, REQUIRED_PASSWORD


@dataclass(frozen=True, kw_only=True)
class Table:
    """The answer to a query."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]

    def as_records(self) -> list[dict[str, Any]]:
        """One mapping per row."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


async def query(settings: ClientSettings, sql: str) -> Table:
    """Ask ClickHouse. Raises EndpointRefusedError with the server's words, UnreachableError."""
    headers = {"X-ClickHouse-User": settings.clickhouse_user, "X-ClickHouse-Key": settings.clickhouse_token}
    url = f"{settings.clickhouse_url}/?default_format=JSONCompact"
    try:
        async with httpx.AsyncClient(timeout=_TIMEOUT, trust_env=False) as client:
            response = await client.post(url, content=sql.encode(), headers=headers)
    except httpx.TransportError as error:
        raise UnreachableError(
            f"the ClickHouse interface at {settings.clickhouse_url} does not answer ({error})"
        ) from None
    if response.status_code != httpx.codes.OK:
        said = response.text.strip() or f"the ClickHouse interface answered {response.status_code}"
        if said.startswith(_NOT_KNOWN):
            raise NotKnownError(f"{one_line(said)}; set ROPEWALK_CLIENT_CLICKHOUSE_TOKEN to the user's password")
        raise EndpointRefusedError(said)
    body = response.json()
    columns = tuple(column["name"] for column in body["meta"])
    return Table(columns=columns, rows=tuple(tuple(row) for row in body["data"]))


async def stream_completion(settings: ClientSettings, body: dict[str, Any]) -> AsyncIterator[str]:
    """Text as it is generated. Raises EndpointRefusedError with the endpoint's words, UnreachableError."""
    async for choice in _choices(settings, "completions", body):
        yield str(choice.get("text") or "")


async def stream_chat(settings: ClientSettings, body: dict[str, Any]) -> AsyncIterator[str]:
    """The answer to a conversation as it is generated. Raises EndpointRefusedError, UnreachableError."""
    async for choice in _choices(settings, "chat/completions", body):
        yield str((choice.get("delta") or {}).get("content") or "")


async def _choices(settings: ClientSettings, path: str, body: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    url = f"{settings.openai_url}/{path}"
    key = {"authorization": f"Bearer {settings.api_key}"} if settings.api_key else {}  # without one: 401, in words
    headers = {"content-type": "application/json", **key}
    content = json.dumps({**body, "stream": True})  # ASCII: a byte of the command line may be no character at all
    try:
        async with (
            httpx.AsyncClient(timeout=_TIMEOUT, trust_env=False) as client,
            client.stream("POST", url, content=content, headers=headers) as response,
        ):
            if response.status_code != httpx.codes.OK:
                await response.aread()
                raise EndpointRefusedError(_error_text(response))
            async for line in response.aiter_lines():
                for choice in _choices_in(line):
                    yield choice
    except httpx.TransportError as error:
        raise UnreachableError(f"the OpenAI endpoint at {settings.openai_url} does not answer ({error})") from None


def _choices_in(line: str) -> list[dict[str, Any]]:
    """The choices in one line of a server-sent event stream. Raises EndpointRefusedError."""
    data = line.removeprefix("data:").strip()
    if not line.startswith("data:") or data == "[DONE]":
        return []
    event = json.loads(data)
    if "error" in event:
        raise EndpointRefusedError(str(event["error"].get("message", event["error"])))
    return list(event.get("choices", []))


def _error_text(response: httpx.Response) -> str:
    try:
        return str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"the endpoint answered {response.status_code}: {response.text[:200]}"
