"""The checkpoints of a run, as the log tells of them, and what may be asked about them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ropewalk.bus.codec import Stored
from ropewalk.client.errors import ClientError
from ropewalk.events.base import Message, last_of
from ropewalk.events.checkpoint import CheckpointPinned, CheckpointPruned, PinCheckpoint, PruneCheckpoints
from ropewalk.events.foreign import quoted
from ropewalk.events.run import RunAccepted
from ropewalk.projections.retention import Holdings, Policy, reasons_to_keep
from ropewalk.recipes.recipe import parse_recipe
from ropewalk.storage.manifest import MANIFEST, Manifest, ManifestError
from ropewalk.storage.objects import ObjectNotFoundError, ObjectStore

if TYPE_CHECKING:
    from ropewalk.client.client import Client

_ANSWER_S = 30.0
_MOST_CHOICES = 10


@dataclass(frozen=True, kw_only=True)
class CheckpointRow:
    """A checkpoint and what became of it. `kept_as` says why the policy keeps it, empty if it would let it go."""

    checkpoint_id: str
    run_id: str
    epoch: int
    step: int
    state: Literal["saved", "verified", "quarantined", "pruned"]
    num_bytes: int
    held_out_loss: float | None
    pinned: bool
    kept_as: str
    uri: str
    manifest_sha256: str
    reason: str


def checkpoints_of(timeline: Sequence[Stored[Message]], now: float) -> list[CheckpointRow]:
    """Every checkpoint that the run announced, oldest first. `now` in Unix seconds."""
    messages = [stored.message for stored in timeline]
    holdings, accepted = Holdings().after(*messages), last_of(messages, RunAccepted)
    policy = Policy.of(parse_recipe(accepted.recipe).derived) if accepted else Policy(last=1_000_000)
    reasons = reasons_to_keep(holdings, policy, now)
    in_order = sorted(holdings.saved.values(), key=lambda saved: (saved.epoch, saved.step))
    return [_row(holdings, saved.checkpoint_id, reasons, now) for saved in in_order]


def _row(holdings: Holdings, checkpoint_id: str, reasons: dict[str, str], now: float) -> CheckpointRow:
    saved, broken = holdings.saved[checkpoint_id], holdings.quarantined.get(checkpoint_id)
    state: Literal["saved", "verified", "quarantined", "pruned"] = "saved"
    if broken is not None:
        state = "quarantined"
    elif checkpoint_id in holdings.pruned:
        state = "pruned"
    elif checkpoint_id in holdings.verified:
        state = "verified"
    return CheckpointRow(
        checkpoint_id=checkpoint_id,
        run_id=saved.run_id,
        epoch=saved.epoch,
        step=saved.step,
        state=state,
        num_bytes=saved.num_bytes,
        held_out_loss=holdings.loss_of(checkpoint_id, saved.step),
        pinned=holdings.is_pinned(checkpoint_id, now),
        kept_as=reasons.get(checkpoint_id, ""),
        uri=broken.uri if broken is not None else saved.uri,
        manifest_sha256=saved.manifest_sha256,
        reason=f"{broken.file} {broken.reason}" if broken is not None else "",
    )


def chosen_checkpoint(rows: Sequence[CheckpointRow], name: str) -> CheckpointRow:
    """The one of that id. Raises ClientError."""
    found = next((row for row in rows if row.checkpoint_id == name), None)
    if found is None:
        known = ", ".join(row.checkpoint_id for row in rows[-_MOST_CHOICES:]) or "none yet"
        raise ClientError(f"there is no checkpoint {quoted(name)}; the newest of this run: {known}")
    return found


def run_of(checkpoint_id: str) -> str:
    """The run that a checkpoint's id begins with: `<run>-<epoch>-<step>`. Raises ClientError."""
    run_id, _, place = checkpoint_id.rpartition("-")
    run_id, _, epoch = run_id.rpartition("-")
    if not run_id or not (place.isdigit() and epoch.isdigit()):
        raise ClientError(f"{quoted(checkpoint_id)} is no checkpoint id: `ropewalk checkpoints list RUN` shows them")
    return run_id


def sound_manifest(objects: ObjectStore, row: CheckpointRow) -> Manifest:
    """Hash a checkpoint as the store has it now and compare with the log.

    Raises ManifestError, ObjectNotFoundError, and ClientError for one that the policy let go.
    """
    if row.state == "pruned":
        raise ClientError(f"{row.checkpoint_id} is pruned: its files are gone, as the policy of its run wants it")
    manifest = objects.inspect(row.uri)
    if manifest.sha256 != row.manifest_sha256:
        raise ManifestError(MANIFEST, "is not the one that the log announced")
    return manifest


def examined(objects: ObjectStore, row: CheckpointRow) -> tuple[Manifest | None, str]:
    """The manifest of a checkpoint in the store, or what is wrong with that checkpoint."""
    if row.state == "pruned":
        return None, "is pruned"
    try:
        return sound_manifest(objects, row), ""
    except ManifestError as error:
        return None, f"{error.file} {error.reason}"
    except ObjectNotFoundError:
        return None, "is not in the object store"


def difference(one: Manifest, other: Manifest) -> dict[str, Any]:
    """Where two checkpoints differ: names of files, and the words of their manifests."""
    here, there = one.files, other.files
    both = sorted(here.keys() & there.keys())
    words = sorted(one.meta.keys() | other.meta.keys())
    said = {word: [one.meta.get(word), other.meta.get(word)] for word in words}
    return {
        "same": [name for name in both if here[name] == there[name]],
        "different": [name for name in both if here[name] != there[name]],
        "only_first": sorted(here.keys() - there.keys()),
        "only_second": sorted(there.keys() - here.keys()),
        "meta": {word: pair for word, pair in said.items() if pair[0] != pair[1]},
    }


async def pin_checkpoint(client: "Client", row: CheckpointRow, *, pinned: bool, hours: float) -> None:
    """Ask for a checkpoint to stay, or to go again, and wait until the log says so. Raises ClientError."""
    await client.ask_for(
        PinCheckpoint(run_id=row.run_id, checkpoint_id=row.checkpoint_id, pinned=pinned, hours=hours),
        CheckpointPinned,
        lambda told: told.checkpoint_id == row.checkpoint_id and told.pinned == pinned,
        within_s=_ANSWER_S,
        asked=f"the checkpoint-manager was asked to {'pin' if pinned else 'unpin'} {row.checkpoint_id}",
    )


async def prune_run(client: "Client", run_id: str, surplus: Sequence[CheckpointRow]) -> None:
    """Ask for the policy of a run to be applied, and wait for the newest that it lets go. Raises ClientError."""
    last = surplus[-1].checkpoint_id
    await client.ask_for(
        PruneCheckpoints(run_id=run_id),
        CheckpointPruned,
        lambda told: told.checkpoint_id == last,
        within_s=_ANSWER_S,
        asked=f"the checkpoint-manager was asked to prune run {run_id}",
    )
