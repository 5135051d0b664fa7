"""Which steps each run has committed, and which of them were taken again after a loss.

The samples themselves are proved by `ropewalk ledger verify`; this is what the log alone says.
"""

from ropewalk.bus.codec import Stored
from ropewalk.corpus.ledger import LedgerEntry, lineage
from ropewalk.events.training import StepsCommitted
from ropewalk.projections.fold import Fold, Json, Record, collect, collected, run_of


def _committed(record: Record, stored: Stored[StepsCommitted]) -> None:
    steps = stored.message
    entry = [steps.epoch, steps.first_step, steps.last_step, steps.num_samples, steps.checkpoint_id, steps.sha256]
    collect(record, "entries", stored, entry)


def _view(_: str, record: Record) -> Json:
    values = [value for _, value in collected(record, "entries")]
    samples = {(value[4], value[5]): value[3] for value in values}
    kept, discarded = lineage(LedgerEntry(*value[:3], *value[4:]) for value in values)
    return {
        "ranges": _ranges(kept),
        "num_steps": sum(entry.last_step - entry.first_step + 1 for entry in kept),
        "num_samples": sum(samples[entry.checkpoint_id, entry.sha256] for entry in kept),
        "num_discarded_steps": sum(entry.last_step - entry.first_step + 1 for entry in discarded),
        "checkpoint_id": kept[-1].checkpoint_id if kept else "",
        "epoch": kept[-1].epoch if kept else 0,
    }


def _ranges(kept: list[LedgerEntry]) -> list[list[int]]:
    """First and last step of every stretch without a gap."""
    ranges: list[list[int]] = []
    for entry in kept:
        if ranges and entry.first_step == ranges[-1][1] + 1:
            ranges[-1][1] = entry.last_step
        else:
            ranges.append([entry.first_step, entry.last_step])
    return ranges


LEDGER = Fold(name="ledger", version=1, key_of=run_of, view=_view, steps={StepsCommitted: _committed})
