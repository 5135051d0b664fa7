"""The proof that training read every sample exactly as planned, whatever died on the way.

Every checkpoint carries a ledger file with the sample ids of the steps since its parent, and the log has one
StepsCommitted event per checkpoint with the file's hash. After a loss, steps beyond the checkpoint that was
resumed from are taken again: what they had committed before is discarded, as it is in no ancestor of the final
model. What remains must tile the steps 0 … total - 1 once, with the ids that `SampleOrder` gives.

Retention deletes old checkpoints and their ledger files with them. Then the hash in the log decides: the planned
rows are encoded the same way (`encode_ledger`) and must have that hash.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ropewalk.corpus.errors import CorpusError
from ropewalk.corpus.mixture import MixedOrder
from ropewalk.corpus.order import SampleOrder
from ropewalk.corpus.shards import ShardMeta
from ropewalk.events.training import StepsCommitted
from ropewalk.recipes.recipe import Recipe
from ropewalk.storage.errors import StorageError
from ropewalk.storage.objects import ObjectStore

LEDGER = "ledger.jsonl"
_MAX_SENTENCES = 20


class LedgerError(CorpusError, ValueError):
    """A ledger file cannot be read. The text names the file and the line."""


@dataclass(frozen=True)
class LedgerRow:
    """The samples of one step, over all workers, in the order of the batch.

    `left_out`: they were read, but the update that they gave was not applied. `ignored` are those among them that no
    update knows, as they end processes.
    """

    step: int
    samples: tuple[int, ...]
    left_out: bool = False
    ignored: tuple[int, ...] = ()


@dataclass(frozen=True)
class LedgerEntry:
    """What one checkpoint committed: steps first_step … last_step. `rows` is None if its file was not read."""

    epoch: int
    first_step: int
    last_step: int
    checkpoint_id: str
    sha256: str
    rows: tuple[LedgerRow, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class LedgerPlan:
    """What should have been read."""

    dataset_version: str
    seed: int
    num_windows: int
    batch_size: int
    total_steps: int
    first_step: int = 0
    mixed: MixedOrder | None = None  # if the recipe gives sources shares

    @property
    def steps(self) -> range:
        """All that should have been taken."""
        return range(self.first_step, self.total_steps)

    def row(self, step: int) -> LedgerRow:
        """The planned samples of a step."""
        order = self.mixed or SampleOrder(self.dataset_version, self.seed, self.num_windows)
        return LedgerRow(step, tuple(order.samples(step, self.batch_size)))


@dataclass(frozen=True, kw_only=True)
class LedgerVerdict:
    """Counts over the final model's lineage. `sentences` says what is wrong; it is empty exactly if `ok`."""

    ok: bool
    num_steps: int
    num_samples: int
    num_skipped: int
    num_repeated: int
    num_wrong: int
    num_missing_steps: int
    num_discarded_steps: int
    num_from_hash: int
    sentences: tuple[str, ...]
    num_left_out: int = 0  # samples that no update knows; they are among those that were read
    is_over: bool = True  # if not, only what is committed by now was judged

    @property
    def is_empty(self) -> bool:
        """Whether nothing was committed, and nothing had to be."""
        return self.ok and not self.num_steps


def encode_ledger(rows: Iterable[LedgerRow]) -> bytes:
    """The bytes of a ledger file: one JSON line per step. Two equal ledgers have equal bytes."""
    return b"".join(json.dumps(_fields(row)).encode() + b"\n" for row in rows)


def _fields(row: LedgerRow) -> dict[str, object]:
    """The mark stands only where it is set: other lines are those of older releases."""
    marks = ({"left_out": True} if row.left_out else {}) | ({"ignored": list(row.ignored)} if row.ignored else {})
    return {"step": row.step, "samples": list(row.samples), **marks}


def read_ledger(folder: Path) -> tuple[LedgerRow, ...]:
    """The rows of a checkpoint's ledger file. Raises LedgerError."""
    try:
        lines = (folder / LEDGER).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise LedgerError(f"{LEDGER} is missing") from None
    except (OSError, UnicodeDecodeError) as error:
        raise LedgerError(f"{LEDGER} cannot be read: {error}") from None
    return tuple(_row(number, line) for number, line in enumerate(lines, start=1))


def _row(number: int, line: str) -> LedgerRow:
    try:
        record = json.loads(line)
        samples = tuple(int(sample) for sample in record["samples"])
        ignored = tuple(int(sample) for sample in record.get("ignored", ()))
        return LedgerRow(int(record["step"]), samples, record.get("left_out") is True, ignored)
    except (ValueError, KeyError, TypeError) as error:
        raise LedgerError(f"{LEDGER}, line {number}: {error!r}") from None


def lineage(entries: Iterable[LedgerEntry]) -> tuple[list[LedgerEntry], list[LedgerEntry]]:
    """Split the entries (in the order of the log) into those of the final model and those that were taken again.

    An entry discards every earlier one that reaches into its steps or beyond them. An entry with a lower epoch
    than the last is a zombie's: it was fenced off and is no ancestor. A repeated event counts once.
    """
    kept: list[LedgerEntry] = []
    discarded: list[LedgerEntry] = []
    seen: set[tuple[str, str]] = set()
    epoch = 0
    for entry in entries:
        if (entry.checkpoint_id, entry.sha256) in seen:
            continue
        seen.add((entry.checkpoint_id, entry.sha256))
        if entry.epoch < epoch:
            discarded.append(entry)
            continue
        epoch = entry.epoch
        while kept and kept[-1].last_step >= entry.first_step:
            discarded.append(kept.pop())
        kept.append(entry)
    return kept, discarded


def verify_ledger(plan: LedgerPlan, entries: Iterable[LedgerEntry]) -> LedgerVerdict:
    """Compare what was committed with the plan, sample by sample."""
    kept, discarded = lineage(entries)
    sentences: list[str] = []
    rows: list[LedgerRow] = []
    num_from_hash = 0
    for entry in kept:
        found, complaints = _rows_of(plan, entry)
        rows += found
        sentences += complaints
        num_from_hash += entry.rows is None
    times = Counter(row.step for row in rows)
    missing = [step for step in plan.steps if step not in times]
    sentences += _step_sentences(plan, times, missing)
    expected = Counter(sample for step in plan.steps for sample in plan.row(step).samples)
    actual = Counter(sample for row in rows for sample in row.samples)
    skipped, repeated = (expected - actual).total(), (actual - expected).total()
    num_wrong, wrong_steps = _wrong(plan, rows)
    if wrong_steps:
        sentences.append(f"{num_wrong} samples are not those of the planned order, in {_ranges(wrong_steps)}")
    if skipped or repeated:
        sentences.append(f"{skipped} planned samples were skipped, {repeated} were read once too often")
    return LedgerVerdict(
        ok=not sentences,
        num_steps=len(times),
        num_samples=actual.total(),
        num_skipped=skipped,
        num_repeated=repeated,
        num_wrong=num_wrong,
        num_missing_steps=len(missing),
        num_discarded_steps=sum(entry.last_step - entry.first_step + 1 for entry in discarded),
        num_from_hash=num_from_hash,
        sentences=tuple(sentences[:_MAX_SENTENCES]),
        num_left_out=sum(len(row.samples if row.left_out else row.ignored) for row in rows),
    )


def verify_run(
    committed: Sequence[StepsCommitted],
    dataset: ShardMeta,
    recipe: Recipe,
    objects: ObjectStore,
    *,
    num_steps: int | None = 0,
    mixed: MixedOrder | None = None,
) -> LedgerVerdict:
    """The verdict on a run. `committed` are its events in the order of the log, `dataset` its manifest's meta.

    `num_steps` were taken: a run may be stopped before its plan ends; 0: not known; None: the run is not over, or was
    cut off, and owes no step behind its last commit. `mixed` is the order of a recipe that gives sources shares.
    """
    entries = [_entry(event, objects) for event in committed]
    kept, _ = lineage(entries)
    by_now = kept[-1].last_step + 1 if kept else recipe.first_step
    plan = LedgerPlan(
        dataset_version=dataset.dataset_version,
        seed=recipe.seed,
        num_windows=dataset.num_windows,
        batch_size=recipe.derived.batch_size,
        total_steps=by_now if num_steps is None else num_steps or recipe.derived.total_steps,
        first_step=recipe.first_step,
        mixed=mixed,
    )
    return replace(verify_ledger(plan, entries), is_over=num_steps is not None)


def _entry(event: StepsCommitted, objects: ObjectStore) -> LedgerEntry:
    rows = None  # if pruned or broken everywhere, the hash in the log decides
    for key in (f"runs/{event.run_id}/ledger/{event.checkpoint_id}", event.uri.removesuffix(f"/{LEDGER}")):
        try:
            found = read_ledger(objects.fetch(key))
        except (StorageError, LedgerError):
            continue
        if hashlib.sha256(encode_ledger(found)).hexdigest() == event.sha256:  # else damaged: the next may be whole
            rows = found
            break
    return LedgerEntry(event.epoch, event.first_step, event.last_step, event.checkpoint_id, event.sha256, rows)


def _rows_of(plan: LedgerPlan, entry: LedgerEntry) -> tuple[list[LedgerRow], list[str]]:
    """The rows of an entry that can be believed, and complaints about the rest."""
    name = f"the ledger of {entry.checkpoint_id} (steps {entry.first_step} to {entry.last_step})"
    if entry.rows is None:
        planned = [plan.row(step) for step in range(entry.first_step, entry.last_step + 1)]
        if hashlib.sha256(encode_ledger(planned)).hexdigest() == entry.sha256:
            return planned, []
        return [], [f"{name} is gone and its hash in the log is not that of the planned order"]
    complaints = []
    if hashlib.sha256(encode_ledger(entry.rows)).hexdigest() != entry.sha256:
        complaints.append(f"{name} is not the file whose hash is in the log")
    if [row.step for row in entry.rows] != list(range(entry.first_step, entry.last_step + 1)):
        complaints.append(f"{name} does not list each of its steps once")
    return list(entry.rows), complaints


def _step_sentences(plan: LedgerPlan, times: Counter[int], missing: list[int]) -> list[str]:
    sentences = []
    if missing:
        sentences.append(f"no checkpoint of the final model committed {_ranges(missing)}")
    if repeated := sorted(step for step, count in times.items() if count > 1):
        sentences.append(f"{_ranges(repeated)} committed more than once")
    if beyond := sorted(step for step in times if step not in plan.steps):
        sentences.append(f"{_ranges(beyond)} lie outside the plan's {plan.total_steps} steps")
    return sentences


def _wrong(plan: LedgerPlan, rows: list[LedgerRow]) -> tuple[int, list[int]]:
    """How many places of the batches differ from the plan, and in which steps."""
    count, steps = 0, []
    for row in rows:
        planned = plan.row(row.step).samples if row.step >= 0 else ()
        differing = sum(one != other for one, other in zip(planned, row.samples, strict=False))
        differing += abs(len(planned) - len(row.samples))
        if differing:
            count += differing
            steps.append(row.step)
    return count, sorted(set(steps))


def _ranges(steps: list[int]) -> str:
    """`steps 3 to 9, 12` from a sorted list."""
    spans: list[list[int]] = []
    for step in steps:
        if spans and step == spans[-1][1] + 1:
            spans[-1][1] = step
        else:
            spans.append([step, step])
    shown = [f"{first} to {last}" if last > first else str(first) for first, last in spans[:5]]
    return ("step " if len(steps) == 1 else "steps ") + ", ".join(shown) + (" …" if len(spans) > 5 else "")
