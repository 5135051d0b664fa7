"""How long a training takes that begins with a base model: by its shape, in the dial and in the quote alike."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from ropewalk.recipes.bases import Base, find_base, shape_of_folder, sized
from ropewalk.recipes.builtin import resolve_recipe
from ropewalk.recipes.model_shape import work_of
from ropewalk.recipes.quotation import START_S, quote
from ropewalk.recipes.recipe import Recipe
from ropewalk.recipes.step_time import expected_step_s
from ropewalk.storage.local import LocalObjects

# of SmolLM2-135M, whose head is its embedding
CONFIG = {
    "vocab_size": 49_152,
    "max_position_embeddings": 8192,
    "hidden_size": 576,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "intermediate_size": 1536,
}
BLOCKS, HEAD = 30 * 576 * (576 * 2 + 192 * 2 + 3 * 1536), 49_152 * 576


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    return tmp_path


def a_recipe(base: Path | str, **changes: Any) -> Recipe:
    sources = [{"path": "/p", "licence": "CC0-1.0", "format": "chat"}]
    return sized(resolve_recipe({"mode": "finetune", "base_model": str(base), "sources": sources, **changes}))


@pytest.mark.parametrize(
    "changes",
    [
        {"adapter": "lora"},
        {"adapter": "dora", "num_workers": 1},
        {"adapter": "full", "precision": "bf16"},
        {"adapter": "full", "training": {"optimizer": "muon"}},
        {"adapter": "lora", "device": "cuda", "gpu_kind": "h100", "num_workers": 1},
    ],
)
def test_the_minutes_of_the_dial_are_those_of_the_quote(base: Path, changes: dict[str, Any]) -> None:
    recipe = a_recipe(base, minutes=30, **changes)
    assert recipe.derived.num_layers == 30
    assert quote(recipe).seconds.value - START_S == pytest.approx(30 * 60, rel=0.05)


def test_a_frozen_weight_costs_two_thirds_and_muon_only_where_it_moves_something(base: Path) -> None:
    attention = 12 * 30 * 576 * 256
    full, lora, adamw = (
        work_of(a_recipe(base, **changes)) for changes in ({"training": {"optimizer": "muon"}}, {"adapter": "lora"}, {})
    )
    assert full.flops_per_token == pytest.approx(6 * (BLOCKS + HEAD) + attention, rel=1e-3)
    assert lora.flops_per_token == pytest.approx(4 * (BLOCKS + HEAD) + attention, rel=0.03)  # and the adapters
    assert (adamw.flops_per_token, adamw.flops_per_update) == (full.flops_per_token, 0)
    assert full.flops_per_update > 1e12
    assert lora.flops_per_update == 0


def test_on_a_card_a_step_of_adapters_takes_at_least_as_long_as_its_launches(base: Path) -> None:
    small = {"context_length": 512, "batch_size": 2}
    a_step = expected_step_s(a_recipe(base, adapter="lora", device="cuda", num_workers=1, training=small))
    assert a_step == pytest.approx(0.2, rel=0.05)  # as it was measured
    large = a_recipe(base, adapter="lora", device="cuda", num_workers=1, training={**small, "batch_size": 2048})
    assert expected_step_s(large) > 3 * a_step


def test_a_base_that_fits_every_worker_is_held_whole(base: Path) -> None:
    assert a_recipe(base).chosen_strategy == "ddp"
    assert a_recipe("org/name").chosen_strategy == "fsdp"


def test_of_a_hubs_model_the_quote_says_that_its_time_is_a_guess(base: Path) -> None:
    assert any("shape of a hub's model" in remark for remark in quote(a_recipe("org/name")).remarks)
    assert not any("hub" in remark for remark in quote(a_recipe(base)).remarks)


@pytest.mark.parametrize(
    "config",
    [
        "{",
        "[]",
        "{}",
        *(json.dumps({**CONFIG, **odd}) for odd in ({"num_attention_heads": 0}, {"hidden_size": "wide"})),
        json.dumps({**CONFIG, "intermediate_size": -1}),
    ],
)
def test_a_config_in_other_words_gives_no_shape(tmp_path: Path, config: str) -> None:
    (tmp_path / "config.json").write_text(config)
    assert shape_of_folder(tmp_path) is None
    assert shape_of_folder(tmp_path / "nowhere") is None


def test_attention_stays_within_a_conversation_unless_the_recipe_says_otherwise(base: Path) -> None:
    assert a_recipe(base).derived.document_masks
    assert not a_recipe(base, training={"document_masks": False}).derived.document_masks
    assert not resolve_recipe({"base": "python-stdlib"}).derived.document_masks


def test_an_import_that_notes_no_shape_has_that_of_its_config(base: Path, tmp_path: Path) -> None:
    told = {"source": "hf:x", "licence": "mit", "family": "llama", "imported_at": "2026-11-27", "has_template": True}
    known = Base(content="1" * 64, name="old", num_parameters=1, context_length=512, certificate={}, **told)
    objects = LocalObjects(tmp_path / "store")
    objects.publish(shutil.copytree(base, tmp_path / "copy"), known.key, known.model_dump(exclude={"content", "shape"}))
    for name in ("old", known.full_name):
        found = find_base(objects, name)
        assert found is not None
        assert found.shape == shape_of_folder(base)
