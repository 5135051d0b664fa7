"""What a checkpoint in the object store has to tell, whoever finds it: the rank that wrote it or the next attempt."""

from collections.abc import Sequence

from ropewalk.corpus.ledger import LEDGER, LedgerRow
from ropewalk.events.checkpoint import CheckpointSaved
from ropewalk.events.training import StepsCommitted
from ropewalk.storage.manifest import MANIFEST, Manifest, ManifestError
from ropewalk.trainer.adapters.worker.job import CheckpointWritten
from ropewalk.trainer.domain.checkpoint_place import CheckpointPlace


def written(
    place: CheckpointPlace, manifest: Manifest, ledger: Sequence[LedgerRow], blocked_s: float = 0.0
) -> CheckpointWritten:
    """The events of a checkpoint. Training stood still for `blocked_s` seconds until it could be written.

    Raises ManifestError.
    """
    saved = CheckpointSaved(
        run_id=place.run_id,
        checkpoint_id=place.checkpoint_id,
        epoch=place.epoch,
        step=place.step,
        uri=place.key,
        manifest_sha256=manifest.sha256,
        num_bytes=manifest.num_bytes,
        blocked_s=blocked_s,
        held_out_loss=held_out_loss(manifest),
    )
    if not ledger:
        return CheckpointWritten(saved, None)
    committed = StepsCommitted(
        run_id=place.run_id,
        epoch=place.epoch,
        first_step=ledger[0].step,
        last_step=ledger[-1].step,
        num_samples=sum(len(row.samples) for row in ledger),
        sha256=manifest.files[LEDGER][0],
        uri=f"{place.key}/{LEDGER}",
        checkpoint_id=place.checkpoint_id,
    )
    return CheckpointWritten(saved, committed)


def held_out_loss(manifest: Manifest) -> float:
    """In nats per token, 0 where none was measured. Raises ManifestError if it is no number."""
    try:
        return float(str(manifest.meta.get("held_out_loss") or 0.0))
    except ValueError:
        raise ManifestError(MANIFEST, "has a held-out loss that is no number") from None
