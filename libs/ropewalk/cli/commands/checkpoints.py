"""`checkpoints list|show|verify|pin|unpin|prune|diff`: what a run saved, whether it is whole, and what stays."""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ropewalk.cli.connecting import call, settings_of
from ropewalk.cli.options import AsJson, RunId, StateDir
from ropewalk.cli.screens.terminal import Listing, console, done, mark, print_json, say
from ropewalk.client.checkpoints import (
    CheckpointRow,
    checkpoints_of,
    chosen_checkpoint,
    difference,
    examined,
    pin_checkpoint,
    prune_run,
    run_of,
    sound_manifest,
)
from ropewalk.client.errors import ClientError
from ropewalk.client.settings import ClientSettings
from ropewalk.events.foreign import quoted
from ropewalk.storage.objects import ObjectStore

app = typer.Typer(name="checkpoints", help="The checkpoints of a run.", no_args_is_help=True)

CheckpointId = Annotated[str, typer.Argument(metavar="CHECKPOINT", help="`<run>-<epoch>-<step>`, as `list` shows it.")]


@app.command("list")
def list_checkpoints(run: RunId, state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """List what a run saved: verified, quarantined, pruned; and why each stays.

    Example: ropewalk checkpoints list python-stdlib-261123-101500-1a2b
    """
    rows = _rows(settings_of(state_dir), run)
    if as_json:
        print_json([asdict(row) for row in rows])
    elif rows:
        console.print(
            Listing(("checkpoint", "step", "MB", "held-out loss", "state", "stays as"), [_cells(row) for row in rows])
        )
    else:
        say("the run has saved no checkpoint yet")


@app.command()
def show(checkpoint: CheckpointId, state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """Show what the log and the manifest say about a checkpoint.

    Example: ropewalk checkpoints show python-stdlib-261123-101500-1a2b-1-300
    """
    settings = settings_of(state_dir)
    row = _row(settings, checkpoint)
    manifest, fault = examined(_objects(settings), row)
    meta = dict(manifest.meta) if manifest else {}
    if as_json:
        files = {name: size for name, (_, size) in manifest.files.items()} if manifest else {}
        print_json({**asdict(row), "fault": fault, "files": files, "meta": meta})
        return
    say(row.checkpoint_id, style="bold")
    for name, value in {**asdict(row), "fault": fault, **meta}.items():
        say(f"  {name:16} {quoted(value) if isinstance(value, str) else value}")


@app.command()
def verify(run: RunId, state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """Hash every checkpoint of a run that should be there and compare with the log; exit code 1 if one is damaged.

    Example: ropewalk checkpoints verify python-stdlib-261123-101500-1a2b
    """
    settings = settings_of(state_dir)
    objects = _objects(settings)
    faults = {
        row.checkpoint_id: examined(objects, row)[1]
        for row in _rows(settings, run)
        if row.state in ("saved", "verified")
    }
    if as_json:
        print_json([{"checkpoint_id": name, "fault": fault} for name, fault in faults.items()])
    else:
        for name, fault in faults.items():
            console.print(mark(not fault), f"{name} {fault}".rstrip(), soft_wrap=True, markup=False)
    raise typer.Exit(1 if any(faults.values()) else 0)


@app.command()
def pin(
    checkpoint: CheckpointId,
    hours: Annotated[float, typer.Option(min=0, max=1e6, help="For so long; 0: until it is unpinned.")] = 0.0,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Keep a checkpoint whatever the policy says.

    Example: ropewalk checkpoints pin python-stdlib-261123-101500-1a2b-1-300 --hours 48
    """
    _pin(checkpoint, state_dir, as_json, pinned=True, hours=hours)


@app.command()
def unpin(checkpoint: CheckpointId, state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """Let the policy decide about a checkpoint again.

    Example: ropewalk checkpoints unpin python-stdlib-261123-101500-1a2b-1-300
    """
    _pin(checkpoint, state_dir, as_json, pinned=False, hours=0.0)


@app.command()
def prune(
    run: RunId,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would go.")] = False,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Delete the checkpoints that the policy of a run lets go. It also does so by itself after each new one.

    Example: ropewalk checkpoints prune python-stdlib-261123-101500-1a2b --dry-run
    """
    settings = settings_of(state_dir)
    surplus = [row for row in _rows(settings, run) if row.state == "verified" and not row.kept_as]
    if surplus and not dry_run:
        call(lambda client: prune_run(client, run, surplus), settings)
    if as_json:
        print_json({"dry_run": dry_run, "pruned": [row.checkpoint_id for row in surplus]})
        return
    for row in surplus:
        say(f"{row.checkpoint_id} {'would go' if dry_run else 'is gone'} ({row.num_bytes / 1e6:,.1f} MB)")
    if not surplus:
        say("nothing may go: every checkpoint stays for a reason (`ropewalk checkpoints list` says which)")


@app.command()
def diff(first: CheckpointId, second: CheckpointId, state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """Compare two checkpoints: which files differ, and what their manifests say.

    Example: ropewalk checkpoints diff pycode-261123-101500-1a2b-1-300 pycode-261123-101500-1a2b-1-330
    """
    settings = settings_of(state_dir)
    objects = _objects(settings)
    one, other = (sound_manifest(objects, _row(settings, name)) for name in (first, second))
    found = difference(one, other)
    if as_json:
        print_json(found)
        return
    for what, values in found.items():
        if isinstance(values, dict):
            for word, pair in values.items():
                say(f"{what}.{word}: {pair}")
        elif values:
            say(f"{what.replace('_', ' ')}: {', '.join(map(str, values)) if isinstance(values, list) else values}")


def _pin(checkpoint: str, state_dir: Path | None, as_json: bool, *, pinned: bool, hours: float) -> None:
    settings = settings_of(state_dir)
    row = _row(settings, checkpoint)
    if row.state != "verified":
        raise ClientError(f"{row.checkpoint_id} is {row.state}: only a verified checkpoint can be pinned or unpinned")
    call(lambda client: pin_checkpoint(client, row, pinned=pinned, hours=hours), settings)
    if as_json:
        print_json({"checkpoint_id": row.checkpoint_id, "pinned": pinned, "hours": hours})
        return
    until = f" for {hours:g} hour{'s' * (hours != 1)}" if hours else " until it is unpinned"
    done(f"{row.checkpoint_id} stays{until}" if pinned else f"the policy decides about {row.checkpoint_id} again")


def _rows(settings: ClientSettings, run: str) -> list[CheckpointRow]:
    return checkpoints_of(call(lambda client: client.timeline(run), settings), time.time())


def _row(settings: ClientSettings, checkpoint: str) -> CheckpointRow:
    return chosen_checkpoint(_rows(settings, run_of(checkpoint)), checkpoint)


def _objects(settings: ClientSettings) -> ObjectStore:
    return settings.store.connect()


def _cells(row: CheckpointRow) -> tuple[str, ...]:
    loss = f"{row.held_out_loss:.4f}" if row.held_out_loss is not None else ""
    state = f"{row.state}: {row.reason}" if row.reason else row.state
    return row.checkpoint_id, f"{row.step:,}", f"{row.num_bytes / 1e6:,.1f}", loss, state, row.kept_as
