"""Sources are read in the shares that the recipe gives them, each of their windows once per pass."""

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from ropewalk.corpus.document import DOCUMENTS, write_records
from ropewalk.corpus.ledger import LedgerEntry, LedgerPlan, encode_ledger, verify_ledger
from ropewalk.corpus.mixture import MixedOrder, MixtureError, mixed_order, windows_by_source
from ropewalk.corpus.shards import ShardMeta
from ropewalk.recipes.dial import complete
from ropewalk.recipes.recipe import Recipe, RecipeError, SourceRecipe, parse_recipe

C = 16
COUNTS = {"/few": 30, "/some": 70, "/many": 900}  # windows


def a_recipe(*, total_steps: int = 500, **asked: dict[str, float]) -> Recipe:
    sources = [{"path": path, "licence": "MIT", **asked.get(path[1:], {})} for path in COUNTS]
    training = {"total_steps": total_steps, "batch_size": 8, "context_length": C, "warmup_steps": 0}
    return complete(parse_recipe({"sources": sources, "training": training, "size": "tiny"}))


@pytest.fixture
def meta(tmp_path: Path) -> ShardMeta:
    """A dataset of documents two and a half windows long; `/few` lies in two pieces, as segments may."""
    ids = {source.path: source.source_id for source in a_recipe().sources}
    pieces = (("/few", 10), ("/many", 900), ("/few", 20), ("/some", 70))
    records, start = [], 0
    for path, count in pieces:
        end = start + count * C
        for at in range(start, end, 5 * C // 2):
            records.append({"source_id": ids[path], "start": at, "length": 5 * C // 2})
        start = end
    write_records(tmp_path / DOCUMENTS, records)
    return ShardMeta(
        dataset_version="v",
        tokenizer_uri="t",
        context_length=C,
        num_tokens=start + 1,
        num_windows=start // C,
        dtype="<u2",
        has_mask=False,
        eos_id=0,
    )


def shares(order: MixedOrder, count: int) -> dict[int, float]:
    """By the number of windows that the source has."""
    owner = {window: len(own) for own in order.windows.values() for window in own.tolist()}
    read = Counter(owner[window] for window in order.indices(0, count))
    return {size: found / count for size, found in read.items()}


WEIGHTS = {"few": {"weight": 3.0}, "some": {"weight": 5.0}, "many": {"weight": 2.0}}


def test_shares_are_met_within_a_hundredth_in_a_whole_run_and_in_a_short_one(tmp_path: Path, meta: ShardMeta) -> None:
    order = mixed_order(a_recipe(**WEIGHTS), tmp_path, meta)
    for count in (100, 1000, 4000):
        assert shares(order, count) == pytest.approx({30: 0.3, 70: 0.5, 900: 0.2}, abs=0.01)


def test_every_pass_over_a_source_reads_each_of_its_windows_once(tmp_path: Path, meta: ShardMeta) -> None:
    order = mixed_order(a_recipe(**WEIGHTS), tmp_path, meta)
    sequence = order.indices(0, 4000)
    for own in order.windows.values():
        mine = [window for window in sequence if window in set(own.tolist())]
        passes = [mine[first : first + len(own)] for first in range(0, len(mine), len(own))]
        assert all(sorted(each) == own.tolist() for each in passes[:-1])
        assert len(set(passes[-1])) == len(passes[-1])
        assert len(passes) < 3 or passes[0] != passes[1]


def test_a_step_reads_its_slice_whatever_was_read_before_and_every_release_reads_the_same(
    tmp_path: Path, meta: ShardMeta
) -> None:
    order = mixed_order(a_recipe(**WEIGHTS), tmp_path, meta)
    far = 12_345  # beyond the pattern
    assert order.samples(far, 8) == [order.indices(place, 1)[0] for place in range(far * 8, far * 8 + 8)]
    assert order.samples(3, 8) == [5, 987, 978, 323, 919, 952, 948, 1]


def test_epochs_alone_read_each_source_in_proportion_to_its_passes(tmp_path: Path, meta: ShardMeta) -> None:
    order = mixed_order(a_recipe(few={"epochs": 10}, some={"epochs": 2}, total_steps=167), tmp_path, meta)
    read = Counter(order.indices(0, 300 + 140 + 900))
    times = {len(own): {read[window] for window in own.tolist()} for own in order.windows.values()}
    assert times == {30: {10}, 70: {2}, 900: {1}}


def test_a_window_belongs_to_the_source_that_its_first_token_is_of(tmp_path: Path, meta: ShardMeta) -> None:
    found = windows_by_source(tmp_path, meta)
    assert sorted(map(len, found.values())) == [30, 70, 900]
    assert np.array_equal(np.sort(np.concatenate(list(found.values()))), np.arange(1000))


def test_the_ledger_is_judged_by_the_same_mixture(tmp_path: Path, meta: ShardMeta) -> None:
    recipe = a_recipe(**WEIGHTS, total_steps=40)
    mixed = mixed_order(recipe, tmp_path, meta)
    plan = {"dataset_version": "v", "seed": recipe.seed, "num_windows": 1000, "batch_size": 8, "total_steps": 40}
    rows = tuple(LedgerPlan(**plan, mixed=mixed).row(step) for step in range(40))
    entry = LedgerEntry(1, 0, 39, "r-1-40", hashlib.sha256(encode_ledger(rows)).hexdigest(), rows)
    assert verify_ledger(LedgerPlan(**plan, mixed=mixed), [entry]).ok
    assert not verify_ledger(LedgerPlan(**plan), [entry]).ok


def test_a_source_with_no_window_is_refused_in_a_sentence_unless_it_has_no_weight(
    tmp_path: Path, meta: ShardMeta
) -> None:
    def with_a_fourth(weight: float) -> Recipe:
        recipe = a_recipe(**WEIGHTS)
        fourth = SourceRecipe(path="/none", licence="MIT", weight=weight)
        return recipe.model_copy(update={"sources": (*recipe.sources, fourth)})

    with pytest.raises(MixtureError, match="the source '/none' has no window of 16 tokens after cleaning: add"):
        mixed_order(with_a_fourth(1.0), tmp_path, meta)
    assert len(mixed_order(with_a_fourth(0.0), tmp_path, meta).windows) == 3


def test_epochs_that_end_before_the_steps_do_are_refused_in_a_sentence(tmp_path: Path, meta: ShardMeta) -> None:
    asked = {**WEIGHTS, "few": {"weight": 3.0, "epochs": 4}}
    sentence = (
        "the source '/few' has 30 windows, and training would read 1,200 of it, more than its epochs, 4, allow: set "
        "training.total_steps to 50 at most, allow more epochs, or add documents"
    )
    with pytest.raises(MixtureError) as refusal:
        mixed_order(a_recipe(**asked), tmp_path, meta)
    assert str(refusal.value) == sentence
    mixed_order(a_recipe(**asked, total_steps=50), tmp_path, meta)


@pytest.mark.parametrize(
    ("weights", "sentence"),
    [
        ((0, 0), "recipe: the weight of every source is 0: give one at least a weight above 0"),
        ((1, None), "recipe: sources.1 has no weight but others have: give each source one, or none"),
        ((1, 1), "recipe: a source with a weight or epochs is named twice: name it once"),
        ((1, -1), "field 'sources.1.weight' has the value -1"),
    ],
)
def test_weights_that_say_nothing_are_refused_when_the_recipe_is_read(weights: tuple, sentence: str) -> None:
    sources = [
        {"path": "/d" if weights == (1, 1) else f"/{at}", "licence": "MIT", "weight": each}
        for at, each in enumerate(weights)
    ]
    with pytest.raises(RecipeError, match=sentence):
        parse_recipe({"sources": sources})


def test_a_source_keeps_its_name_and_a_recipe_its_fields_where_nothing_is_said_of_shares() -> None:
    source = SourceRecipe(path="/d", licence="MIT")
    assert source.source_id == "c2a11402fa963068" == SourceRecipe(path="/d", licence="MIT", weight=2).source_id
    recipe = Recipe(sources=(source,))
    assert {"weight", "epochs"}.isdisjoint(recipe.as_json()["sources"][0])
    weighed = Recipe(sources=(SourceRecipe(path="/d", licence="MIT", weight=2),))
    assert parse_recipe(weighed.as_json()) == weighed
