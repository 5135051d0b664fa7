"""`models list|show|export|approve|rollback|retire`: what answers; `import|remove`: what to begin with."""

import asyncio
import dataclasses
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ropewalk.cli.connecting import call, settings_of, store_of
from ropewalk.cli.options import AsJson, StateDir, layout
from ropewalk.cli.screens.bases import show_base, show_bases, told_of_copy
from ropewalk.cli.screens.terminal import Listing, complain, console, done, minute, print_json, say
from ropewalk.client.approving import approve as approve_version
from ropewalk.client.bases import Wish, accepted_runs, import_base, known_base, needed_by, no_import, remove_base
from ropewalk.client.errors import ClientError
from ropewalk.client.exporting import CARD, Exportable, export_gguf, export_to, of_base, of_version
from ropewalk.client.log import list_runs, open_log, projections
from ropewalk.client.models import ModelVersion, chosen, newest_promoted, versions_of
from ropewalk.client.models import retire as retire_version
from ropewalk.client.rollback import plan_rollback, roll_back
from ropewalk.client.settings import ClientSettings
from ropewalk.local.errors import StackNotRunningError
from ropewalk.projections.model_card import licences_of
from ropewalk.projections.runs import LIVE, NOT_PROMOTED
from ropewalk.recipes.bases import find_base, is_base_name, list_bases

if TYPE_CHECKING:
    from ropewalk.client import Client

ANY = "`ropewalk submit python-stdlib` trains and promotes one, `ropewalk bake FOLDER` bakes a task into one"
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
    bases: Annotated[bool, typer.Option("--bases", help="Instead: imported models, for `base_model`.")] = False,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """List the model versions that answer, the one that `ropewalk complete` takes marked with a star.

    Example: ropewalk models list --all
    """
    if bases:
        show_bases(list_bases(store_of(state_dir)), as_json=as_json)
        return
    try:
        settings = settings_of(state_dir)
    except StackNotRunningError as error:
        raise ClientError(f"{error}; `ropewalk models list --bases` shows imports without it") from None
    versions = known_versions(settings)
    newest = newest_promoted(versions)
    shown = [each for each in versions if every or each.answers]
    if as_json:
        print_json([dataclasses.asdict(each) for each in shown])
        return
    licences = licences_by_run(settings, shown)
    rows = [(*_row(each, is_newest=each == newest), licences[each.run_id]) for each in shown]
    if rows:
        console.print(Listing(("", "version", "answers as", "since (UTC)", "run", "licence"), rows))
    else:
        retired = f"; {len(versions)} retired, --all shows them" if versions else ""
        say(f"no model answers yet{retired}: {how_to_get_one(settings)}")


def how_to_get_one(settings: ClientSettings, remedy: str = ANY) -> str:
    """What to do where no model answers: to wait for the run that is under way, or `remedy`."""
    with open_log(settings) as wire:
        newest = next(iter(list_runs(wire, 1)["runs"]), {"status": ""})
    if newest["status"] in LIVE:
        return f"`ropewalk watch {newest['run_id']}` shows the run that is under way"
    if newest["status"] not in NOT_PROMOTED:
        return remedy
    return f"the gate did not let the newest run through (`ropewalk report {newest['run_id']}` says why); {remedy}"


@app.command()
def show(name: Name, state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """Show a model: its versions, where each comes from, and under which names it answers; or an imported one.

    Example: ropewalk models show pycode
    """
    base = find_base(store_of(state_dir), name) if is_base_name(name) else None
    if base is not None:
        show_base(base, as_json=as_json)
        return
    settings = _settings_for(name, state_dir)
    found = chosen(known_versions(settings), name)
    if as_json:
        print_json([dataclasses.asdict(each) for each in found])
        return
    licences = licences_by_run(settings, found)
    for each in found:
        say(each.full_name, style="bold")
        for what, words in [*_facts(each), ("licence", licences[each.run_id])]:
            say(f"  {what:12} {words}")


@app.command("import")
def import_model(
    source: Annotated[str, typer.Argument(help="gguf:FILE, hf:FOLDER or hf:org/name (asks the Hugging Face hub).")],
    name: Annotated[str, typer.Option(help="What recipes call it (default: after the source).")] = "",
    licence: Annotated[str, typer.Option(help="Under which you may use it (SPDX), if the source does not say.")] = "",
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Take a model as a base for recipes, once it is proved that our decoder says the same tokens as transformers.

    Example: ropewalk models import gguf:./SmolLM2-135M-Instruct.gguf --name smollm2
    """
    wish = Wish(source=source, name=name, licence=licence)
    scratch = layout(state_dir).state_dir
    scratch.mkdir(parents=True, exist_ok=True)
    tell = (lambda _: None) if as_json else (lambda words: complain(f"… {words}", style="dim"))
    found = asyncio.run(import_base(wish, store_of(state_dir), scratch, tell))
    if as_json:
        print_json({**found.base.model_dump(mode="json"), "is_new": found.is_new})
        return
    show_base(found.base, as_json=False)
    done(f"`base_model: {found.base.name}` begins with it" + ("" if found.is_new else "; it was imported before"))


@app.command()
def remove(
    name: Annotated[str, typer.Argument(metavar="MODEL", help="An imported model.")],
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Delete an imported model that no run needs. For a version at the endpoint there is `models retire`.

    Example: ropewalk models remove smollm2
    """
    objects, settings = store_of(state_dir), settings_of(state_dir)
    base = known_base(objects, name)
    with open_log(settings) as wire:
        live = [each["run_id"] for each in list_runs(wire, 1_000)["runs"] if each["status"] in LIVE]
    versions = [each for each in known_versions(settings) if each.may_return]
    run_ids = {*live, *(each.run_id for each in versions)}
    accepted = call(lambda client: accepted_runs(client, run_ids), settings) if run_ids else {}
    remove_base(objects, base, needed_by(base, accepted, live, versions))
    if as_json:
        print_json({"removed": base.full_name})
        return
    done(f"{base.full_name} is removed")


class Format(StrEnum):
    """What a model is exported as."""

    hf = "hf"
    gguf = "gguf"
    gguf_q8 = "gguf-q8"


@app.command()
def export(
    name: Annotated[str, typer.Argument(metavar="MODEL", help="The version, such as `code@3`, or an imported model.")],
    target: Annotated[Path, typer.Argument(help="The folder, or the GGUF file, to write; it must not exist.")],
    kind: Annotated[
        Format, typer.Option("--format", help="A Hugging Face folder, one GGUF file in float32, or in 8 bits (Q8_0).")
    ] = Format.hf,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Write a copy of a model to give away: a folder with its model card, or a GGUF file that was read back.

    Example: ropewalk models export pycode@3 ./pycode.gguf --format gguf
    """
    objects = store_of(state_dir)
    base = find_base(objects, name) if is_base_name(name) else None
    what = of_base(base) if base else _exportable(_settings_for(name, state_dir), name)
    if kind is Format.hf:
        sha256 = export_to(target, what, objects)
        if as_json:
            print_json({"model": name, "folder": str(target.absolute()), "export_manifest_sha256": sha256})
            return
        made = f"{CARD} says what it was made from" if what.card else f"its licence is {what.licence or 'not known'}"
        done(f"{target} has {name} for `AutoModelForCausalLM.from_pretrained`; {made}")
        return
    tell = (lambda _: None) if as_json else (lambda words: complain(f"… {words}", style="dim"))
    proof = export_gguf(target, what, objects, tell, eight_bits=kind is Format.gguf_q8)
    if as_json:
        print_json({"model": name, "file": str(target.absolute()), "certificate": proof})
        return
    done(f"{target} has {name} as GGUF; read back by transformers, {told_of_copy(proof)}")


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


def _settings_for(name: str, state_dir: Path | None) -> ClientSettings:
    """Of the stack, which knows the versions; without it the name may be meant for an import, so those are told."""
    try:
        return settings_of(state_dir)
    except StackNotRunningError as error:
        raise ClientError(f"{no_import(store_of(state_dir), name)}; of versions the stack knows: {error}") from None


def _exportable(settings: ClientSettings, name: str) -> Exportable:
    version = _exactly(settings, name)
    return of_version(
        version, [stored.message for stored in call(lambda client: client.timeline(version.run_id), settings)]
    )


def _exactly(settings: ClientSettings, name: str) -> ModelVersion:
    found = [each for each in chosen(known_versions(settings), name) if each.full_name == name]
    if not found:
        raise ClientError(f"{name} names no single version: write it as `model@number`")
    return found[0]


def licences_by_run(settings: ClientSettings, versions: list[ModelVersion]) -> dict[str, str]:
    """What every version may be used under: the licences of its base and its data."""
    run_ids = {each.run_id for each in versions}
    accepted = call(lambda client: accepted_runs(client, run_ids), settings) if run_ids else {}
    return {run_id: licences_of(accepted[run_id]) if run_id in accepted else "" for run_id in run_ids}


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
