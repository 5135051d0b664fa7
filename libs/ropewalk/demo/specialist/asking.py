"""Functions that were in no file when the model learnt, put to the endpoint as any OpenAI client would."""

import ast
import asyncio
import json
import time
from dataclasses import dataclass

import httpx
from pydantic import JsonValue

from ropewalk.client.settings import ClientSettings
from ropewalk.demo.specialist.functions import example_of
from ropewalk.demo.specialist.task import MAX_ANSWER_TOKENS
from ropewalk.events.foreign import one_line
from ropewalk.usecases.fields import field_accuracy
from ropewalk.usecases.schema import AnswerChecker

_TIMEOUT = httpx.Timeout(120.0, connect=5.0)
_PATIENCE_S, _PAUSE_S = 120.0, 1.0  # with a model that is being loaded
QUESTIONS = (
    'def mend(rope, knots=3):\n    """Mend a worn rope."""\n    return rope.spliced(knots)\n',
    'def berth(self, ship, *cranes):\n    """Give a ship its place at the quay."""\n'
    "    if ship.is_sunk:\n        raise HarbourError(ship)\n    self.places[ship] = cranes\n",
    'async def tide(port: str, hours: float = 12.4):\n    """Wait for the next tide."""\n'
    "    await sleep(hours * SECONDS[port])\n",
)


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What the endpoint answered to one function. `error` is empty if it answered; `accuracy` is of the fields."""

    answer: str = ""
    seconds: float = 0.0
    prompt_tokens: int = 0
    is_valid: bool = False
    accuracy: float = 0.0
    error: str = ""


async def ask(settings: ClientSettings, model: str, schema: dict[str, JsonValue]) -> list[Reply]:
    """One after the other, the bare source alone, without `response_format`: the form must come from the weights."""
    headers = {"authorization": f"Bearer {settings.api_key}"}
    async with httpx.AsyncClient(
        base_url=settings.openai_url, headers=headers, timeout=_TIMEOUT, trust_env=False
    ) as client:
        return [await _ask(client, model, source, AnswerChecker(schema)) for source in QUESTIONS]


async def _ask(client: httpx.AsyncClient, model: str, source: str, checker: AnswerChecker) -> Reply:
    turns = [{"role": "user", "content": source.rstrip()}]
    body = {"model": model, "messages": turns, "max_tokens": MAX_ANSWER_TOKENS, "temperature": 0}
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        began = time.monotonic()
        try:
            response = await client.post("/chat/completions", json=body)
        except httpx.TransportError as failure:
            return Reply(error=f"{type(failure).__name__}: {failure}")
        if response.status_code == httpx.codes.OK:
            return judged(json.loads(response.content), source, checker, time.monotonic() - began)
        if response.status_code != httpx.codes.SERVICE_UNAVAILABLE or began > deadline:
            return Reply(error=f"status {response.status_code}: {one_line(response.text, 200)}")
        await asyncio.sleep(_PAUSE_S)


def judged(completion: dict[str, JsonValue], source: str, checker: AnswerChecker, seconds: float) -> Reply:
    """A reply of the endpoint beside what `ast` says of the function."""
    choices, usage = completion["choices"], completion["usage"]
    assert isinstance(choices, list), "our own endpoint"
    assert isinstance(usage, dict), "our own endpoint"
    text = str(choices[0]["message"]["content"])  # type: ignore[index, call-overload]
    answer, function = checker.parse(text), ast.parse(source).body[0]
    assert isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef), "QUESTIONS holds functions"
    truth = example_of(function, source.splitlines()).record
    return Reply(
        answer=text,
        seconds=seconds,
        prompt_tokens=int(str(usage["prompt_tokens"])),
        is_valid=answer.is_valid,
        accuracy=field_accuracy(answer.value, truth) if answer.is_json else 0.0,
    )
