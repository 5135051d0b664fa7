"""Task sets say of a model what lm-evaluation-harness says of it: the harness is asked where it is installed, and what
it said once is written down for where it is not."""

import json
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[3]
RECORD = json.loads((ROOT / "benchmarks" / "results" / "evaluation_lm_eval_parity.json").read_text())


@pytest.fixture(scope="module")
def parity(load_script) -> ModuleType:
    return load_script(ROOT / "benchmarks" / "evaluation" / "lm_eval_parity.py")


@pytest.fixture(scope="module")
def world(parity: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("parity")
    parity.make(folder)
    return folder


def test_our_figures_are_those_that_the_harness_said_of_the_same_model(parity: ModuleType, world: Path) -> None:
    ours = parity.native(world, double=True)
    assert len(ours) == 6
    for name in ("CheckpointLM, float64", "HFLM, float64"):
        assert parity.furthest(ours, RECORD["lm_eval_figures"][name]) <= 1e-9
    moved = {**ours, "reading/bits_per_byte": ours["reading/bits_per_byte"] + 1e-8}
    assert parity.furthest(moved, RECORD["lm_eval_figures"]["HFLM, float64"]) > 1e-9


def test_the_record_is_of_figures_that_can_differ() -> None:
    found = RECORD["lm_eval_figures"]["HFLM, float64"]
    assert found["choosing/acc"] != found["choosing/acc_norm"]
    assert all(0 < found[name] < 1 for name in ("choosing/acc", "choosing/acc_norm", "writing/exact_match"))
    assert RECORD["met"]
    assert max(RECORD["largest_difference"].values()) <= 1e-9


@pytest.mark.parametrize("double", [True, False])
def test_the_harness_says_the_same_through_our_adapter(parity: ModuleType, world: Path, *, double: bool) -> None:
    pytest.importorskip("lm_eval")
    theirs = parity.by_harness(world, lambda folder: parity.checkpoint_lm(folder, double=double))
    assert parity.furthest(parity.native(world, double=double), theirs) <= 1e-9
