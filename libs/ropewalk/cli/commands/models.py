"""`models list|show|export|approve|rollback|retire`: what answers at the endpoint."""

import dataclasses
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ropewalk.cli.connecting import call, settings_of
from ropewalk.cli.options import AsJson, StateDir
from ropewalk.cli.screens.terminal import Listing, console, done, minute, print_json, say
from ropewalk.client.approving import approve as approve_version
from ropewalk.client.errors import ClientError
from ropewalk.client.exporting import export_to
from ropewalk.client.log import open_log, projections
from ropewalk.client.models import ModelVersion, chosen, newest_promoted, versions_of
from ropewalk.client.models import retire as retire_version
from ropewalk.client.rollback import plan_rollback, roll_back
from ropewalk.client.settings import ClientSettings

if TYPE_CHECKING:
    from ropewalk.client import Client

app = typer.Typer(name="models", help="The models of the endpoint.", invoke_without_command=True)

Name = Annotated[str, typer.Argument(metavar="MODEL", help="`code@3`, an alias such as `code:canary`, or `code`.")]


@app.callback()
def group(context: typer.Context, state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """Without a further word, their list."""
    if context.invoked_subcommand is None:
        list_models(state_dir=state_dir, as_json=as_json)


@app.command("list")
def list_models(
    every: Annotated[bool, typer.Option("--all", help="The retired ones too.")] = False,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """List the model versions that answer, the one that `ropewalk complete` takes marked with a star.

    Example: ropewalk models list --all
    """
    versions = known_versions(settings_of(state_dir))
    newest = newest_promoted(versions)
    shown = [each for each in versions if every or each.answers]
    if as_json:
        print_json([dataclasses.asdict(each) for each in shown])
        return
    rows = [_row(each, is_newest=each == newest) for each in shown]
    if rows:
        console.print(Listing(("", "version", "answers as", "since (UTC)", "run"), rows))
    else:
        retired = f"; {len(versions)} retired, --all shows them" if versions else ""
        say(f"no model answers yet{retired}: `ropewalk submit python-stdlib` trains and promotes one")


@app.command()
def show(name: Name, state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """Show a model: its versions, where each comes from, and under which names it answers.

    Example: ropewalk models show pycode
    """
    found = chosen(known_versions(settings_of(state_dir)), name)
    if as_json:
        print_json([dataclasses.asdict(each) for each in found])
        return
    for each in found:
        say(each.full_name, style="bold")
        for what, words in _facts(each):
            say(f"  {what:12} {words}")


@app.command()
def export(
    name: Annotated[str, typer.Argument(metavar="MODEL", help="The version, such as `code@3`.")],
    folder: Annotated[Path, typer.Argument(help="Where the copy goes; the folder must not exist.")],
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Copy the Hugging Face folder of a version, with a model card that has its evaluation and parity, too.

    Example: ropewalk models export pycode@3 ./pycode
    """
    settings = settings_of(state_dir)
    version = _exactly(settings, name)
    facts = [stored.message for stored in call(lambda client: client.timeline(version.run_id), settings)]
    sha256 = export_to(folder, version, facts, settings.store.connect())
    if as_json:
        print_json({"model": name, "folder": str(folder.absolute()), "export_manifest_sha256": sha256})
        return
    done(f"{folder} has {name} for `AutoModelForCausalLM.from_pretrained`; README.md says what it was made from")


@app.command()
def approve(
    name: Annotated[str, typer.Argument(metavar="MODEL", help="The version, such as `code@3`.")],
    who: Annotated[str, typer.Option("--as", help="Your name among the approvers of the stack.")],
    key: Annotated[Path, typer.Option(help="The file with your seed; `ropewalk keys person` makes one.")],
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Sign a version that waits for a second person, so that it is promoted. The author of its run may not.

    Example: ropewalk models approve pycode@3 --as alice --key ./alice.seed
    """
    settings = settings_of(state_dir)
    version = _exactly(settings, name)
    awaited = call(lambda client: approve_version(client, version, who, key), settings)
    if as_json:
        print_json(awaited.model_dump(mode="json"))
        return
    done(f"{name} may be {awaited.alias}; you signed export {awaited.manifest_sha256[:12]} of {awaited.checkpoint_id}")


@app.command()
def rollback(
    name: Annotated[str, typer.Argument(metavar="MODEL", help="`code`, or another alias such as `code:canary`.")],
    to: Annotated[int, typer.Option(min=0, help="A version that carried the alias before; 0: the one before.")] = 0,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Give an alias back to a version that carried it before, and wait until that one answers.

    Example: ropewalk models rollback pycode --to 3
    """
    settings, began = settings_of(state_dir), time.monotonic()
    with open_log(settings) as wire:
        plan = plan_rollback(projections(wire, "registry")["registry"], name, to)
    objects = settings.store.connect()
    call(lambda client: roll_back(client, plan, objects), settings)
    seconds = time.monotonic() - began
    if as_json:
        print_json({**dataclasses.asdict(plan), "seconds": seconds})
        return
    done(f"{plan.target} is {plan.alias} again, after {plan.model}@{plan.from_version} ({seconds:.1f} s)")


@app.command()
def retire(name: Name, state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """Take a model version, or all versions of a model, off the endpoint. Its files and its record stay.

    Example: ropewalk models retire pycode@1
    """
    settings = settings_of(state_dir)
    found = [each for each in chosen(known_versions(settings), name) if each.may_return]
    if not found:
        raise ClientError(f"{name} does not answer any more: it is retired already")

    # One connection for all versions: each waits for serving to let its requests end.
    async def act(client: "Client") -> None:
        for each in found:
            await retire_version(client, each)

    call(act, settings)
    if as_json:
        print_json({"retired": [each.full_name for each in found]})
        return
    for each in found:
        alone = [name for name in each.names if name not in each.shares]
        silent = f"; nothing answers as {' or '.join(alone)} now" if alone else ""
        done(f"{each.full_name} {'is off the endpoint' if each.answers else 'cannot come back any more'}{silent}")


def _exactly(settings: ClientSettings, name: str) -> ModelVersion:
    found = [each for each in chosen(known_versions(settings), name) if each.full_name == name]
    if not found:
        raise ClientError(f"{name} names no single version: write it as `model@number`")
    return found[0]


def known_versions(settings: ClientSettings) -> list[ModelVersion]:
    """Every version that the log knows of."""
    with open_log(settings) as wire:
        return versions_of(projections(wire, "registry")["registry"])


def _row(each: ModelVersion, *, is_newest: bool) -> tuple[str, ...]:
    gone = f"{'superseded' if each.may_return else 'retired'} {minute(each.retired_at)}"
    names = ", ".join((*each.names_with_shares, each.full_name)) if each.answers else gone
    return "*" if is_newest else "", each.full_name, names, minute(each.deployed_at), each.run_id


def _facts(each: ModelVersion) -> list[tuple[str, str]]:
    silent = "nothing: it was superseded and can come back" if each.may_return else "nothing: it is retired"
    return [
        ("answers as", ", ".join((*each.names_with_shares, each.full_name)) if each.answers else silent),
        ("deployed", f"{minute(each.deployed_at)} UTC"),
        *([("promoted", f"{minute(each.promoted_at)} UTC")] if each.promoted_at else []),
        *(
            [("superseded" if each.may_return else "retired", f"{minute(each.retired_at)} UTC")]
            if each.retired_at
            else []
        ),
        ("run", f"{each.run_id} (`ropewalk report {each.run_id}` has its numbers)"),
        ("checkpoint", each.checkpoint_id),
        ("export", f"{each.export_uri} (a Hugging Face folder in the object store)"),
    ]
