"""The ledger against forged and honest histories."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ropewalk.corpus.ledger import (
    LEDGER,
    LedgerEntry,
    LedgerError,
    LedgerPlan,
    LedgerRow,
    encode_ledger,
    lineage,
    read_ledger,
    verify_ledger,
    verify_run,
)
from ropewalk.corpus.shards import ShardMeta
from ropewalk.events.training import StepsCommitted
from ropewalk.recipes.dial import complete
from ropewalk.recipes.recipe import Recipe, SourceRecipe
from ropewalk.storage.local import LocalObjects

PLAN = LedgerPlan(dataset_version="d", seed=3, num_windows=50, batch_size=4, total_steps=30)


def an_entry(first: int, last: int, *, epoch: int = 1, attempt: int = 1, plan: LedgerPlan = PLAN) -> LedgerEntry:
    rows = tuple(plan.row(step) for step in range(first, last + 1))
    return with_rows(
        LedgerEntry(
            epoch=epoch,
            first_step=first,
            last_step=last,
            checkpoint_id=f"r-{epoch}-{last + 1}-{attempt}",
            sha256="",
            rows=None,
        ),
        rows,
    )


def with_rows(entry: LedgerEntry, rows: tuple[LedgerRow, ...]) -> LedgerEntry:
    """A forger who also forges the hash."""
    return replace(entry, rows=rows, sha256=hashlib.sha256(encode_ledger(rows)).hexdigest())


HONEST = [an_entry(0, 9), an_entry(10, 19), an_entry(20, 29)]


def test_an_honest_run_passes_with_every_sample_counted() -> None:
    verdict = verify_ledger(PLAN, HONEST)
    assert verdict.ok
    assert (verdict.num_steps, verdict.num_samples) == (30, 120)
    assert (verdict.num_skipped, verdict.num_repeated, verdict.num_wrong) == (0, 0, 0)


def test_steps_taken_again_after_a_kill_are_discarded_not_repeated() -> None:
    again = an_entry(10, 19, epoch=2)
    verdict = verify_ledger(PLAN, [*HONEST[:2], an_entry(20, 24), again, an_entry(20, 29, epoch=2)])
    assert verdict.ok
    assert verdict.num_discarded_steps == 15


def test_a_repeated_event_counts_once() -> None:
    assert verify_ledger(PLAN, [*HONEST[:2], HONEST[0], *HONEST[1:]]).ok


def test_a_fenced_off_zombie_changes_nothing() -> None:
    mine = [HONEST[0], an_entry(10, 19, epoch=2), an_entry(20, 29, epoch=2)]
    verdict = verify_ledger(PLAN, [*mine[:2], an_entry(10, 19, attempt=2), mine[2]])
    assert verdict.ok
    assert verdict.num_discarded_steps == 10


def test_samples_whose_update_was_not_applied_are_told_apart_and_are_no_fault(tmp_path: Path) -> None:
    rows = tuple(replace(row, left_out=row.step in (12, 13)) for row in HONEST[1].rows or ())
    (tmp_path / LEDGER).write_bytes(encode_ledger(rows))
    assert read_ledger(tmp_path) == rows
    verdict = verify_ledger(PLAN, [HONEST[0], with_rows(HONEST[1], rows), HONEST[2]])
    assert verdict.ok
    assert (verdict.num_samples, verdict.num_left_out, verdict.num_skipped) == (120, 8, 0)


def test_a_gap_is_found_and_named() -> None:
    verdict = verify_ledger(PLAN, [HONEST[0], HONEST[2]])
    assert not verdict.ok
    assert verdict.num_missing_steps == 10
    assert verdict.num_skipped == 40
    assert any("steps 10 to 19" in sentence for sentence in verdict.sentences)


def test_a_run_that_did_not_end_says_what_is_missing() -> None:
    verdict = verify_ledger(PLAN, HONEST[:2])
    assert not verdict.ok
    assert any("steps 20 to 29" in sentence for sentence in verdict.sentences)


def test_a_resume_that_skipped_into_a_committed_range_is_a_gap() -> None:
    assert verify_ledger(PLAN, [HONEST[0], HONEST[1], an_entry(15, 29, epoch=2)]).num_missing_steps == 5


def test_a_step_recorded_twice_is_found() -> None:
    rows = HONEST[1].rows
    assert rows is not None
    forged = with_rows(HONEST[1], (*rows[:5], rows[4], *rows[5:]))
    verdict = verify_ledger(PLAN, [HONEST[0], forged, HONEST[2]])
    assert not verdict.ok
    assert verdict.num_repeated == 4
    assert any("step 14 committed more than once" in sentence for sentence in verdict.sentences)


def test_two_samples_that_changed_places_are_found() -> None:
    rows = list(HONEST[1].rows or ())
    one, other = rows[2].samples, rows[7].samples
    rows[2] = replace(rows[2], samples=(other[0], *one[1:]))
    rows[7] = replace(rows[7], samples=(one[0], *other[1:]))
    verdict = verify_ledger(PLAN, [HONEST[0], with_rows(HONEST[1], tuple(rows)), HONEST[2]])
    assert not verdict.ok
    assert verdict.num_wrong == 2
    assert (verdict.num_skipped, verdict.num_repeated) == (0, 0)


def test_a_sample_read_instead_of_another_is_skipped_and_repeated() -> None:
    rows = list(HONEST[0].rows or ())
    rows[3] = replace(rows[3], samples=(rows[0].samples[0], *rows[3].samples[1:]))
    verdict = verify_ledger(PLAN, [with_rows(HONEST[0], tuple(rows)), *HONEST[1:]])
    assert not verdict.ok
    assert (verdict.num_skipped, verdict.num_repeated, verdict.num_wrong) == (1, 1, 1)


def test_a_ledger_file_that_was_changed_after_its_event_is_found() -> None:
    verdict = verify_ledger(PLAN, [replace(HONEST[0], sha256="0" * 64), *HONEST[1:]])
    assert not verdict.ok
    assert "hash is in the log" in verdict.sentences[0]


def test_a_pruned_ledger_is_proved_by_its_hash_in_the_log() -> None:
    pruned = [replace(entry, rows=None) for entry in HONEST[:2]]
    verdict = verify_ledger(PLAN, [*pruned, HONEST[2]])
    assert verdict.ok
    assert verdict.num_from_hash == 2


def test_a_pruned_ledger_of_other_samples_is_found() -> None:
    other = an_entry(0, 9, plan=replace(PLAN, seed=4))
    verdict = verify_ledger(PLAN, [replace(other, rows=None), *HONEST[1:]])
    assert not verdict.ok
    assert verdict.num_missing_steps == 10


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 4)), max_size=12), st.randoms(use_true_random=False))
def test_any_history_of_kills_and_take_overs_passes(history: list[tuple[int, int]], random: object) -> None:
    """Checkpoints every 5 steps; each item: checkpoints until a kill, then how many of them turn out broken."""
    entries: list[LedgerEntry] = []
    done, epoch = 0, 1
    for attempt, (num_checkpoints, num_lost) in enumerate([*history, (6, 0)]):
        for _ in range(num_checkpoints):
            if done < PLAN.total_steps:
                entries.append(an_entry(done, done + 4, epoch=epoch, attempt=attempt))
                done += 5
        if done == PLAN.total_steps and attempt == len(history):
            break
        done = max(0, done - 5 * num_lost)
        epoch += attempt % 2
    while done < PLAN.total_steps:
        entries.append(an_entry(done, done + 4, epoch=epoch, attempt=99))
        done += 5
    verdict = verify_ledger(PLAN, entries)
    assert verdict.ok, verdict.sentences


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2), st.integers(0, 9), st.integers(0, 3), st.integers(0, 49))
def test_any_single_changed_sample_is_found(entry: int, row: int, place: int, sample: int) -> None:
    rows = list(HONEST[entry].rows or ())
    samples = list(rows[row].samples)
    changed = samples[place] != sample
    samples[place] = sample
    rows[row] = replace(rows[row], samples=tuple(samples))
    forged = [with_rows(item, tuple(rows)) if index == entry else item for index, item in enumerate(HONEST)]
    assert verify_ledger(PLAN, forged).ok is not changed


def test_the_lineage_keeps_the_order_of_the_log() -> None:
    kept, discarded = lineage([*HONEST[:2], an_entry(10, 14, epoch=2)])
    assert [entry.last_step for entry in kept] == [9, 14]
    assert [entry.last_step for entry in discarded] == [19]


def test_a_ledger_file_reads_back_as_it_was_written(tmp_path: Path) -> None:
    rows = (PLAN.row(0), PLAN.row(1))
    (tmp_path / LEDGER).write_bytes(encode_ledger(rows))
    assert read_ledger(tmp_path) == rows


@pytest.mark.parametrize("line", ["{", '{"step": 1}', '{"step": "x", "samples": []}', "[]"])
def test_a_damaged_line_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / LEDGER).write_bytes(encode_ledger([PLAN.row(0)]) + line.encode())
    with pytest.raises(LedgerError, match="line 2"):
        read_ledger(tmp_path)


def test_a_run_is_verified_from_its_events_and_the_files_that_still_exist(tmp_path: Path) -> None:
    recipe = complete(Recipe(sources=(SourceRecipe(path="/n", licence="CC0-1.0"),), size="tiny", minutes=0.02))
    meta = ShardMeta(
        dataset_version="d",
        tokenizer_uri="t",
        context_length=64,
        num_tokens=641,
        num_windows=10,
        dtype="<u2",
        has_mask=False,
        eos_id=0,
    )
    total, batch = recipe.derived.total_steps, recipe.derived.batch_size
    plan = LedgerPlan(dataset_version="d", seed=recipe.seed, num_windows=10, batch_size=batch, total_steps=total)
    objects = LocalObjects(tmp_path / "objects")
    events = []
    for first, last in ((0, 4), (5, total - 1)):
        content = encode_ledger(plan.row(step) for step in range(first, last + 1))
        folder = tmp_path / "checkpoint"
        folder.mkdir()
        (folder / LEDGER).write_bytes(content)
        key = f"runs/r/checkpoints/1-{last + 1}"
        objects.publish(folder, key, {})
        events.append(
            StepsCommitted(
                run_id="r",
                epoch=1,
                first_step=first,
                last_step=last,
                num_samples=(last - first + 1) * batch,
                sha256=hashlib.sha256(content).hexdigest(),
                uri=f"{key}/{LEDGER}",
                checkpoint_id=f"r-1-{last + 1}",
            )
        )
    assert verify_run(events, meta, recipe, objects).ok
    objects.delete("runs/r/checkpoints/1-5")
    verdict = verify_run(events, meta, recipe, objects)
    assert verdict.ok
    assert verdict.num_from_hash == 1
    assert not verify_run(events[1:], meta, recipe, objects).ok
    assert not verify_run(events[:1], meta, recipe, objects).ok
    still = verify_run(events[:1], meta, recipe, objects, num_steps=None)
    assert (still.ok, still.is_over, still.num_steps) == (True, False, 5)
    assert verify_run([], meta, recipe, objects, num_steps=None).is_empty
    assert not verify_run([], meta, recipe, objects).is_empty
    assert not verify_run(events[1:], meta, recipe, objects, num_steps=None).ok
