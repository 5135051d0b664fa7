"""`submit` and `cancel`: runs."""

import os
import pwd
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from pydantic import JsonValue
from rich.table import Table

from ropewalk.cli.app import AsJson, StateDir, app, with_client
from ropewalk.cli.durations import seconds_of
from ropewalk.cli.terminal import MOST_IN_A_LINE, complain, console, print_json, say
from ropewalk.cli.timeline import RunId, event_line
from ropewalk.client import Client
from ropewalk.events.base import Message
from ropewalk.events.foreign import one_line
from ropewalk.events.run import RunCancelled, RunCompleted, RunFailed, RunRejected
from ropewalk.recipes.builtin import load_recipe, resolve_recipe
from ropewalk.recipes.recipe import Recipe
from ropewalk.runtime.codec import Stored


class CancelMode(StrEnum):
    """How a run stops."""

    CHECKPOINT = "checkpoint"
    NOW = "now"


@app.command()
def submit(
    recipe: Annotated[str, typer.Argument(help="A built-in recipe's name or a YAML file.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the recipe and its plan; send nothing.")] = False,
    minutes: Annotated[float | None, typer.Option(min=0.01, help="Training time, instead of the recipe's.")] = None,
    run_id: Annotated[str | None, typer.Option("--run-id", help="Your own id for the run.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Print the run's events until it is over.")] = False,
    priority: Annotated[int, typer.Option(min=-10_000, max=10_000, help="Higher is served first.")] = 0,
    owner: Annotated[str, typer.Option(help="Who shares fairly with others (default: your user name).")] = "",
    deadline: Annotated[str, typer.Option(help="Fail the run if it has not ended by then: 90s, 30m, 2h, 1d.")] = "",
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Check a recipe and start a run of it.

    Example: ropewalk submit python-stdlib --dry-run
    """
    fields = with_absolute_paths(load_recipe(recipe), Path.cwd())
    if minutes is not None:
        fields = {**fields, "minutes": minutes}
    complete = resolve_recipe(fields)
    if dry_run:
        if as_json:
            print_json({"recipe": complete.as_json(), "recipe_sha256": complete.sha256()})
        else:
            console.print(recipe_view(complete), plan_view(complete))
        return
    deadline_s = seconds_of(deadline, "--deadline") if deadline else 0.0
    submitted = with_client(
        lambda client: client.submit(
            fields, run_id, priority=priority, owner=owner or user_name(), deadline_s=deadline_s
        ),
        state_dir,
    )
    if as_json:
        print_json({"run_id": submitted})
    else:
        say(submitted)
    if follow:
        raise typer.Exit(with_client(lambda client: _print_until_over(client, submitted), state_dir))


@app.command()
def cancel(
    run: RunId,
    mode: Annotated[CancelMode, typer.Option(help="Stop at the next checkpoint, or now.")] = CancelMode.CHECKPOINT,
    reason: Annotated[str, typer.Option(help="Why, for the log.")] = "",
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Stop a run at its next checkpoint, or now.

    Example: ropewalk cancel python-stdlib-261123-101500-1a2b --reason "wrong data"
    """
    with_client(lambda client: client.cancel(run, mode.value, reason), state_dir)
    if as_json:
        print_json({"run_id": run, "mode": mode.value})
    else:
        when = "now" if mode is CancelMode.NOW else "at its next checkpoint"
        say(f"asked for {run} to stop {when}")


def user_name() -> str:
    """Who runs this process; empty in a container that does not know."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name[:64]
    except KeyError:
        return ""


def with_absolute_paths(fields: dict[str, JsonValue], folder: Path) -> dict[str, JsonValue]:
    """Source paths as the services must see them, who run elsewhere; what is no path is left to the recipe's check."""
    sources = fields.get("sources")
    if not isinstance(sources, list):
        return fields
    return {**fields, "sources": [_absolute(source, folder) for source in sources]}


def _absolute(source: JsonValue, folder: Path) -> JsonValue:
    path = source.get("path") if isinstance(source, dict) else None
    if isinstance(source, dict) and isinstance(path, str):
        return {**source, "path": str(folder / Path(path).expanduser())}
    return source


def recipe_view(recipe: Recipe) -> Table:
    """What a person wrote."""
    table = Table(title=f"recipe {recipe.name} · {recipe.sha256()[:12]}", box=None, title_justify="left")
    table.add_column("field", style="dim")
    table.add_column("value", overflow="fold")
    for name, value in recipe.as_json().items():
        if name not in ("plan", "sources"):
            table.add_row(name, one_line(_in_words(value), MOST_IN_A_LINE))
    for source in recipe.sources:
        table.add_row("source", one_line(f"{source.path} ({source.licence}, {source.format})", MOST_IN_A_LINE))
    return table


def _in_words(value: JsonValue) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {item}" for name, item in value.items() if item != "")
    return str(value)


def plan_view(recipe: Recipe) -> Table:
    """What follows from it."""
    table = Table(title="derived plan", box=None, title_justify="left")
    table.add_column("field", style="dim")
    table.add_column("value", justify="right")
    table.add_column("unit")
    for name, field in type(recipe.derived).model_fields.items():
        value = getattr(recipe.derived, name)
        table.add_row(name, f"{value:g}" if isinstance(value, float) else f"{value:,}", field.description or "")
    return table


async def _print_until_over(client: Client, run_id: str) -> int:
    first: Stored[Message] | None = None
    async for stored in client.follow(run_id):
        first = first or stored
        say(event_line(stored, since=first))
        match stored.message:
            case RunRejected(violations=violations):
                for violation in violations:
                    complain(violation)
                return 2
            case RunFailed() | RunCancelled():
                return 1
            case RunCompleted(outcome=outcome):
                return 0 if outcome == "promoted" else 1
    sys.exit("the timeline ended early")
