"""What the device table says, and that it tells the measured steps again."""

import pytest

from ropewalk.recipes.builtin import resolve_recipe
from ropewalk.recipes.device_table import DEVICES, DeviceKind, Speed, device_kind, kind_of_card, step_seconds
from ropewalk.recipes.model_shape import ModelShape, shape_of

_MEASURED = [(kind, speed) for kind in DEVICES.values() for speed in kind.speeds]


@pytest.mark.parametrize(("kind", "speed"), _MEASURED, ids=lambda value: getattr(value, "name", ""))
def test_a_measured_step_is_predicted_within_a_tenth(kind: DeviceKind, speed: Speed) -> None:
    predicted = step_seconds(kind, speed.work, speed.precision, speed.tokens_a_step)
    assert predicted == pytest.approx(speed.step_s, rel=0.1)


def test_weights_and_operations_are_those_of_the_model_that_was_measured() -> None:
    shape = DEVICES["h100"].speeds[1].work  # base at context 1,024: benchmarks/results/training_gpu.json
    assert isinstance(shape, ModelShape)
    assert shape.num_weights == 135_288_576
    mfu = 559_369 * shape.flops_per_token / (DEVICES["h100"].peak_tflops["bf16"] * 1e12)
    assert mfu == pytest.approx(0.4378, abs=1e-4)


def test_every_row_is_dated_and_says_where_it_comes_from_and_whether_it_was_measured() -> None:
    for kind in DEVICES.values():
        assert kind.date >= "2026-11-26"
        assert kind.is_measured != kind.source.startswith("unmeasured")
        assert kind.is_measured != bool(kind.borrows_from)


@pytest.mark.parametrize(
    ("card", "name"),
    [
        ("NVIDIA H100 80GB HBM3", "h100"),
        ("NVIDIA A100-SXM4-80GB", "a100"),
        ("NVIDIA L4", "l4"),
        ("NVIDIA H200", "h200"),
    ],
)
def test_a_card_is_found_by_the_name_its_driver_gives(card: str, name: str) -> None:
    found = kind_of_card(card)
    assert found is not None
    assert found.name == name


def test_a_card_in_no_row_is_not_taken_for_another() -> None:
    assert kind_of_card("NVIDIA L40S") is None


def test_a_kind_without_a_row_is_reckoned_as_any_gpu() -> None:
    assert device_kind("tomorrows") is DEVICES["h100"]


def test_a_card_with_a_third_of_the_rate_takes_about_three_times_as_long() -> None:
    shape = shape_of(resolve_recipe({"base": "python-stdlib", "size": "base"}).derived)
    ratio = step_seconds(DEVICES["a100"], shape, "bf16", 524_288) / step_seconds(
        DEVICES["h100"], shape, "bf16", 524_288
    )
    assert ratio == pytest.approx(989 / 312, rel=0.05)
