"""`taskset add|list|show|freeze`: what models are asked, as data."""

from typing import Annotated, Any

import typer

from ropewalk.cli.connecting import call, settings_of, store_of
from ropewalk.cli.options import AsJson, StateDir
from ropewalk.cli.screens.terminal import Listing, console, done, minute, print_json, say
from ropewalk.client.log import open_log, projections
from ropewalk.client.settings import ClientSettings
from ropewalk.client.task_sets import add_task_set, find_task_set, freeze_task_set, known_version
from ropewalk.tasksets.shelf import shipped

app = typer.Typer(name="taskset", no_args_is_help=True, help="Task sets: what models are asked, as data.")

Name = Annotated[str, typer.Argument(metavar="ID", help="`copying@1`, or `copying` for its newest version.")]


@app.command()
def add(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A YAML file, or the name of a task set that ships.")],
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Check a task set, store it under the hash of its content, and register it.

    Example: ropewalk taskset add my-questions.yaml
    """
    found = find_task_set(file)
    settings, objects = settings_of(state_dir), store_of(state_dir)
    known, name = _known(settings), found.definition.full_name
    is_new = call(lambda client: add_task_set(client, known, objects, found), settings)
    if as_json:
        print_json({**found.facts(), "is_new": is_new})
        return
    how = "is registered" if is_new else "was registered before"
    done(f"{name} {how}; `ropewalk taskset freeze {name}` makes it fit for `evaluation.task_sets` of a recipe")


@app.command("list")
def list_task_sets(state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """List the versions of all task sets.

    Example: ropewalk taskset list
    """
    known = _known(settings_of(state_dir))
    if as_json:
        print_json(known)
        return
    rows = [_row(f"{key}@{number}", facts) for key in sorted(known) for number, facts in known[key]["versions"].items()]
    if rows:
        heads = ("task set", "type", "items", "clusters", "metrics", "gate", "licence", "frozen (UTC)")
        console.print(Listing(heads, rows, numbers=("items", "clusters")))
    else:
        say(f"no task set is registered yet: `ropewalk taskset add FILE`; these ship: {', '.join(shipped())}")


@app.command()
def show(name: Name, state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """Show a version: what it is for, how it is split, what decides. The items of its sealed split are not shown.

    Example: ropewalk taskset show copying@1
    """
    task_set_id, version, facts = known_version(_known(settings_of(state_dir)), name)
    if as_json:
        print_json({"task_set_id": task_set_id, "version": version, **facts})
        return
    say(f"{task_set_id}@{version}", style="bold")
    splits = ", ".join(f"{count:,} {split}" for split, count in facts["splits"].items())
    for what, words in (
        ("use case", facts["use_case"]),
        ("type", f"{facts['kind']}: {', '.join(facts['metrics'])}"),
        ("items", f"{facts['num_items']:,} in {facts['num_clusters']:,} clusters ({splits})"),
        ("in the gate", _roles(facts) or "nothing: it is only shown"),
        ("licence", facts["licence"]),
        ("registered", f"{minute(facts['registered_at'])} UTC"),
        ("frozen", f"{minute(facts['frozen_at'])} UTC" if facts["frozen_at"] else "not yet"),
        ("content", facts["content"]),
    ):
        say(f"  {what:12} {words}")


@app.command()
def freeze(name: Name, state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """Make a version what it is for good: recipes may name it, and no later run trains on its items.

    Example: ropewalk taskset freeze copying@1
    """
    settings = settings_of(state_dir)
    known = _known(settings)
    full_name, is_new = call(lambda client: freeze_task_set(client, known, name), settings)
    if as_json:
        print_json({"frozen": full_name, "is_new": is_new})
        return
    done(f"{full_name} is frozen" if is_new else f"{full_name} was frozen before")


def _known(settings: ClientSettings) -> dict[str, Any]:
    with open_log(settings) as wire:
        return projections(wire, "task_sets")["task_sets"]


def _row(name: str, facts: dict[str, Any]) -> tuple[str, ...]:
    return (
        name,
        facts["kind"],
        f"{facts['num_items']:,}",
        f"{facts['num_clusters']:,}",
        ", ".join(facts["metrics"]),
        _roles(facts) or "shown",
        facts["licence"],
        minute(facts["frozen_at"]) if facts["frozen_at"] else "no",
    )


def _roles(facts: dict[str, Any]) -> str:
    """What decides, in words; nothing where nothing does."""
    primary = [f"{facts['primary']} decides"] if facts["primary"] else []
    return ", ".join([*primary, *(f"{metric} guards" for metric in facts["guardrails"])])
