"""`submit`, `cancel`, `pause` and `resume`: runs."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from pydantic import JsonValue

from ropewalk.cli.commands.watch import watching
from ropewalk.cli.connecting import call, room_of, settings_of, store_of
from ropewalk.cli.durations import seconds_of
from ropewalk.cli.exit_codes import USAGE
from ropewalk.cli.options import AsJson, RunId, StateDir
from ropewalk.cli.screens.dry_run import show_dry_run
from ropewalk.cli.screens.terminal import complain, print_json, print_json_line, say
from ropewalk.cli.settings import user_name
from ropewalk.client import Client
from ropewalk.client.extending import extension
from ropewalk.events.run import RunAccepted, RunRejected
from ropewalk.recipes.bases import Base, find_base, is_base_name, sized
from ropewalk.recipes.builtin import load_recipe, resolve_recipe
from ropewalk.recipes.paths import with_absolute_paths
from ropewalk.recipes.recipe import Recipe

app = typer.Typer()


class CancelMode(StrEnum):
    """How a run stops."""

    CHECKPOINT = "checkpoint"
    NOW = "now"


@app.command()
def submit(
    recipe: Annotated[str, typer.Argument(help="A built-in recipe's name or a YAML file.")] = "",
    extend: Annotated[str, typer.Option(help="Instead of a recipe: go on where this run stands.")] = "",
    from_: Annotated[str, typer.Option("--from", help="With --extend: at this checkpoint, not at its end.")] = "",
    steps: Annotated[int, typer.Option(min=0, help="With --extend: so many steps more.")] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show plan, data, time and price; send nothing.")] = False,
    minutes: Annotated[float | None, typer.Option(min=0.01, help="Training time, instead of the recipe's.")] = None,
    run_id: Annotated[str | None, typer.Option("--run-id", help="Your own id for the run.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Show the run until it is over.")] = False,
    priority: Annotated[int, typer.Option(min=-10_000, max=10_000, help="Higher is served first.")] = 0,
    owner: Annotated[str, typer.Option(help="Who shares fairly with others (default: your user name).")] = "",
    deadline: Annotated[str, typer.Option(help="Fail the run if it has not ended by then: 90s, 30m, 2h, 1d.")] = "",
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Check a recipe and start a run of it.

    Example: ropewalk submit python-stdlib --dry-run
    """
    _check_origin(recipe, extend, from_, steps)
    fields = _extension(extend, from_, steps, minutes, state_dir) if extend else _written(recipe, minutes)
    complete = resolve_recipe(fields)
    if dry_run:
        raise typer.Exit(0 if _show(complete, state_dir, has_plan=bool(fields.get("plan")), as_json=as_json) else USAGE)
    deadline_s = seconds_of(deadline, "--deadline") if deadline else 0.0

    async def ask(client: Client) -> tuple[str, bool]:
        is_there = bool(run_id) and await client.accepted(run_id or "") is not None
        who = owner or user_name()
        return await client.submit(fields, run_id, priority=priority, owner=who, deadline_s=deadline_s), is_there

    asked, is_there = call(ask, settings_of(state_dir))
    if as_json:
        (print_json_line if follow else print_json)({"run_id": asked})
    else:
        say(asked)  # alone on standard output, for scripts
    if is_there:
        complain(f"nothing new was started: run {asked} was accepted with this recipe before", style="dim")
    if follow:
        raise typer.Exit(watching(asked, state_dir, is_new=True, as_json=as_json))
    if is_there:
        complain(f"`ropewalk watch {asked}` shows it", style="dim")
        return
    raise typer.Exit(answered(asked, state_dir))


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
    call(lambda client: client.cancel(run, mode.value, reason), settings_of(state_dir))
    if as_json:
        print_json({"run_id": run, "mode": mode.value})
    else:
        when = "now" if mode is CancelMode.NOW else "at its next checkpoint"
        say(f"asked for {run} to stop {when}")


@app.command()
def pause(
    run: RunId,
    reason: Annotated[str, typer.Option(help="Why, for the log.")] = "",
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Let a run in training save a checkpoint, leave its place to others and wait until it is resumed.

    Example: ropewalk pause python-stdlib-261123-101500-1a2b --reason "the GPUs are needed"
    """
    call(lambda client: client.pause(run, reason), settings_of(state_dir))
    if as_json:
        print_json({"run_id": run, "status": "paused"})
    else:
        say(f"{run} is paused: it saves a checkpoint and leaves its place; `ropewalk resume {run}` lets it go on")


@app.command()
def resume(run: RunId, state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """Let a paused run go on from its checkpoint, once there is room for it.

    Example: ropewalk resume python-stdlib-261123-101500-1a2b
    """
    call(lambda client: client.resume(run), settings_of(state_dir))
    if as_json:
        print_json({"run_id": run, "status": "resumed"})
    else:
        say(f"{run} stands in line again and goes on from its checkpoint; `ropewalk watch {run}` shows it")


def _check_origin(recipe: str, extend: str, from_: str, steps: int) -> None:
    given = {"--extend": extend, "--from": from_, "--steps": steps}
    if recipe and (others := [name for name, value in given.items() if value]):
        raise typer.BadParameter(
            f"a recipe and {' and '.join(others)} exclude each other: give a recipe (with --minutes), "
            "or --extend RUN (with --steps, --minutes or --from)"
        )
    if not recipe and not extend:
        raise typer.BadParameter("give a recipe, or --extend RUN, which --from and --steps go with")


def _written(recipe: str, minutes: float | None) -> dict[str, JsonValue]:
    fields = with_absolute_paths(load_recipe(recipe), Path.cwd())
    return fields if minutes is None else {**fields, "minutes": minutes}


def _show(recipe: Recipe, state_dir: Path | None, *, has_plan: bool, as_json: bool) -> bool:
    """As the run would be planned. Returns whether it could be accepted."""
    base = _imported(recipe.base_model, state_dir)
    planned = recipe if has_plan else sized(recipe, base)
    return show_dry_run(planned, base=base, free=room_of(state_dir), as_json=as_json)


def _imported(base_model: str, state_dir: Path | None) -> Base | None:
    return find_base(store_of(state_dir), base_model) if is_base_name(base_model) else None


def _extension(
    run_id: str, checkpoint_id: str, steps: int, minutes: float | None, state_dir: Path | None
) -> dict[str, JsonValue]:
    timeline = call(lambda client: client.timeline(run_id), settings_of(state_dir))
    messages = [stored.message for stored in timeline]
    return extension(messages, checkpoint_id=checkpoint_id, steps=steps, minutes=minutes or 0.0)


def answered(run_id: str, state_dir: Path | None) -> int:
    """A rejection is said now, not when somebody looks. Standard output has the id alone, for scripts."""
    match call(lambda client: client.answer(run_id), settings_of(state_dir)):
        case RunRejected(violations=violations):
            for violation in violations:
                complain(violation)
            return USAGE
        case RunAccepted():
            complain(f"accepted; `ropewalk watch {run_id}` shows how it gets on", style="dim")
        case None:
            complain(
                f"nobody has accepted {run_id} yet: `ropewalk status`, `ropewalk show {run_id}`",
                style="yellow",
            )
    return 0
