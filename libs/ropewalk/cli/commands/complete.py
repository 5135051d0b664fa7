"""`complete` and `chat`: talk to a model of the endpoint."""

import asyncio
import importlib
import sys
from collections.abc import AsyncIterator, Callable
from typing import Annotated

import typer

from ropewalk.cli.commands.models import ANY, how_to_get_one, known_versions
from ropewalk.cli.connecting import call, settings_of
from ropewalk.cli.options import AsJson, StateDir
from ropewalk.cli.screens.terminal import complain, errors, print_json, say, write
from ropewalk.client import ClientSettings
from ropewalk.client.endpoints import stream_chat, stream_completion
from ropewalk.client.errors import ClientError, EndpointRefusedError
from ropewalk.client.models import answering, learned_to_talk, newest_promoted

app = typer.Typer()

MaxTokens = Annotated[int, typer.Option("--max-tokens", min=1, help="Tokens to generate.")]
Temperature = Annotated[float, typer.Option(min=0.0, max=2.0, help="0 always takes the likeliest token.")]
Model = Annotated[str, typer.Option(help="Model name (default: the one promoted last).", show_default=False)]
Pieces = AsyncIterator[str]
_ANEW = "/new"
_TALKERS = "`ropewalk init FOLDER` writes a recipe that teaches a model the conversations of a folder"


@app.command()
def complete(
    prompt: Annotated[str, typer.Argument(help="The text to continue.")],
    max_tokens: MaxTokens = 48,
    temperature: Temperature = 0.7,
    model: Model = "",
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Continue a text with the model that was promoted last, as it is generated, and say which model that is.

    Example: ropewalk complete "def add(" --max-tokens 32
    """
    settings = settings_of(state_dir)
    name = model or newest_model(settings)
    request = {"model": name, "prompt": prompt, "max_tokens": max_tokens, "temperature": temperature}

    def begin() -> None:
        errors.print(f"{name} goes on:", style="dim")
        write(prompt)

    text = asyncio.run(_told(stream_completion(settings, request), silent=as_json, begin=begin))
    if as_json:
        print_json({"model": name, "prompt": prompt, "completion": text})


@app.command()
def chat(
    model: Model = "",
    system: Annotated[str, typer.Option(help="What the model is told before the conversation.")] = "",
    max_tokens: MaxTokens = 256,
    temperature: Temperature = 0.7,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Talk to a model that was trained on conversations: a line is a turn, Ctrl-D ends, /new begins anew.

    Example: ropewalk chat --model assistant
    """
    settings = settings_of(state_dir)
    name = model or newest_model(settings, _TALKERS)
    version = answering(known_versions(settings), name)
    request = {"model": name, "max_tokens": max_tokens, "temperature": temperature}
    beginning = [{"role": "system", "content": system}] if system else []
    if not call(lambda client: learned_to_talk(client, version), settings):
        complain(f"{name} learned no conversations, so it goes on with what you write: {_TALKERS}", style="yellow")
    if not as_json:
        say(f"talking to {name}; a line is a turn, Ctrl-D ends, {_ANEW} begins anew", style="dim")

    def answer(messages: list[dict[str, str]]) -> str:
        return asyncio.run(_told(stream_chat(settings, {**request, "messages": messages}), silent=as_json))

    messages = converse(_lines(prompted=not as_json), beginning, answer)
    if as_json:
        print_json({"model": name, "messages": messages})


def converse(
    lines: Callable[[], str | None], beginning: list[dict[str, str]], answer: Callable[[list[dict[str, str]]], str]
) -> list[dict[str, str]]:
    """A conversation until there are no more lines. A turn that the endpoint refuses is taken back and said so."""
    messages = list(beginning)
    while (line := lines()) is not None:
        if line.strip() == _ANEW:
            messages = list(beginning)
        elif line.strip():
            asked = [*messages, {"role": "user", "content": line}]
            try:
                messages = [*asked, {"role": "assistant", "content": answer(asked)}]
            except EndpointRefusedError as refusal:
                complain(f"{refusal} (that turn is forgotten; {_ANEW} begins anew)")
    return messages


def newest_model(settings: ClientSettings, remedy: str = ANY) -> str:
    """The version that was promoted last and answers. Raises ClientError with the remedy if there is none."""
    newest = newest_promoted(known_versions(settings))
    if newest is None:
        raise ClientError(f"no model is in production yet: {how_to_get_one(settings, remedy)}")
    return newest.full_name


def _lines(*, prompted: bool) -> Callable[[], str | None]:
    """What is typed, or stands in a pipe, line by line; None at its end."""
    asks = prompted and sys.stdin.isatty()
    if asks:
        # Not at the top: importing it writes escape sequences to the terminal, also where nothing is typed.
        importlib.import_module("readline")  # from then on `input` lets a line be edited

    def next_line() -> str | None:
        try:
            return input("› " if asks else "")
        except EOFError:
            return None

    return next_line


async def _told(pieces: Pieces, *, silent: bool, begin: Callable[[], None] = lambda: None) -> str:
    """The whole text; what has come so far is on the terminal at once, after `begin`: a refusal begins nothing."""
    parts: list[str] = []
    async for piece in pieces:
        if not parts and not silent:
            begin()
        parts.append(piece)
        if not silent:
            write(piece)
    if not silent:
        write("\n")
    return "".join(parts)
