"""Whether a model learnt from a document is read from its dataset version: by content, by id, and by likeness."""

from pathlib import Path

import numpy as np
import pytest

from ropewalk.corpus.document import write_records
from ropewalk.corpus.sketch import NUM_HASHES, lowest_bytes, near_any
from ropewalk.corpus.trained import SKETCHES, STATES, Identity, trained_on

RNG = np.random.default_rng(3)


def some_sketches(number: int) -> np.ndarray:
    return lowest_bytes(RNG.integers(0, 2**32, (number, NUM_HASHES), dtype=np.uint32))


def altered(rows: np.ndarray, places: int) -> np.ndarray:
    changed = rows.copy()
    changed[:, :places] ^= 1
    return changed


@pytest.mark.parametrize(("places", "near"), [(0, True), (20, True), (28, True), (29, False), (112, False)])
def test_three_quarters_of_the_places_make_two_documents_near(places: int, near: bool) -> None:
    known = some_sketches(500)
    assert near_any(altered(known[40:44], places), known).tolist() == [near] * 4


def test_nothing_is_near_without_a_sketch_on_both_sides() -> None:
    none = np.zeros((2, NUM_HASHES), dtype=np.uint8)
    assert near_any(none, none).tolist() == [False, False]
    assert near_any(some_sketches(2), none[:0]).tolist() == [False, False]
    assert near_any(none[:0], some_sketches(2)).tolist() == []


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    rows = [("a", "A", "kept"), ("b", "B", "held_out"), ("c", "C", "exact_duplicate"), ("d", "D", "kept")]
    write_records(tmp_path / STATES, [{"doc_id": d, "path": d, "content": c, "state": state} for d, c, state in rows])
    return tmp_path


def test_only_what_was_kept_was_learnt_from(dataset: Path) -> None:
    asked = [Identity("a", "other"), Identity("other", "D"), Identity("b", "B"), Identity("c", "C"), Identity("", "")]
    assert trained_on(dataset, asked, None) == [True, True, False, False, False]


def test_what_nearly_repeats_a_kept_document_was_seen(dataset: Path) -> None:
    known = some_sketches(2)
    np.save(dataset / SKETCHES, known)
    asked = [Identity("x", "X"), Identity("y", "Y")]
    assert trained_on(dataset, asked, np.concatenate([altered(known[:1], 10), some_sketches(1)])) == [True, False]


def test_a_dataset_of_before_there_were_sketches_is_compared_by_id(tmp_path: Path) -> None:
    write_records(tmp_path / STATES, [{"doc_id": "a", "path": "a", "state": "kept"}])
    assert trained_on(tmp_path, [Identity("a", "A"), Identity("", "B")], some_sketches(2)) == [True, False]
