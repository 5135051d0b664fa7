"""`complete`: talk to the model in production."""

import asyncio
import sys
from typing import Annotated, Any

import typer

from ropewalk.cli.app import AsJson, StateDir, app, settings_of
from ropewalk.cli.terminal import print_json, written_out
from ropewalk.client import ClientSettings
from ropewalk.client.endpoints import served_models, stream_completion
from ropewalk.client.errors import ClientError


@app.command()
def complete(
    prompt: Annotated[str, typer.Argument(help="The text to continue.")],
    max_tokens: Annotated[int, typer.Option("--max-tokens", min=1, help="Tokens to generate.")] = 48,
    temperature: Annotated[float, typer.Option(min=0.0, max=2.0, help="0 always takes the likeliest token.")] = 0.7,
    model: Annotated[str, typer.Option(help="Model name (default: the one in production).", show_default=False)] = "",
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Continue a text with the model in production, as it is generated.

    Example: ropewalk complete "def add(" --max-tokens 32
    """
    settings = settings_of(state_dir)
    request = {"prompt": prompt, "max_tokens": max_tokens, "temperature": temperature}
    text = asyncio.run(_stream(settings, model, request, echo=not as_json))
    if as_json:
        print_json({"prompt": prompt, "completion": text})


async def _stream(settings: ClientSettings, model: str, request: dict[str, Any], *, echo: bool) -> str:
    chosen = model or await production_model(settings)
    pieces = []
    if echo:
        sys.stdout.write(written_out(request["prompt"]))
    async for piece in stream_completion(settings, {**request, "model": chosen}):
        pieces.append(piece)
        if echo:
            sys.stdout.write(written_out(piece))
            sys.stdout.flush()
    if echo:
        sys.stdout.write("\n")
    return "".join(pieces)


async def production_model(settings: ClientSettings) -> str:
    """The first model that answers under its plain name. Raises ClientError if none was promoted yet."""
    names = await served_models(settings)
    plain = [name for name in names if "@" not in name]
    if not plain:
        raise ClientError("no model is in production yet: `ropewalk submit python-stdlib` trains and promotes one")
    return plain[0]
