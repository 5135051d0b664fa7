"""What is said before a training begins, and beside its outcome afterwards."""

from ropewalk.client.describe import describe
from ropewalk.client.outcomes import forecast_errors
from ropewalk.events.run import RunAccepted
from ropewalk.events.training import TrainingCompleted, TrainingQuoted
from ropewalk.recipes.builtin import resolve_recipe
from ropewalk.trainer.domain.quoting import training_quoted


def a_quote(**changes: object) -> TrainingQuoted:
    recipe = resolve_recipe({"base": "python-stdlib", **changes})
    return training_quoted("r", recipe, num_tokens=3_000_000, bytes_per_token=2.9)


def ended(seconds: float, loss: float) -> TrainingCompleted:
    return TrainingCompleted(run_id="r", checkpoint_id="c", uri="u", step=1, loss=loss, tokens=1, seconds=seconds)


def test_a_quote_has_time_price_and_loss_with_bounds_and_says_what_it_rests_on() -> None:
    quoted = a_quote()
    assert 0 < quoted.seconds_low < quoted.seconds < quoted.seconds_high
    assert 0 < quoted.usd_low < quoted.usd < quoted.usd_high
    assert 0 < quoted.loss_low < quoted.loss < quoted.loss_high
    assert quoted.tokens == 1800 * 4 * 256
    assert "Python source" in quoted.remark
    assert "minutes" in describe(quoted)


def test_a_quote_of_a_fine_tuning_tells_no_loss() -> None:
    quoted = a_quote(mode="finetune", base_model="/model")
    assert quoted.loss == 0
    assert "loss" not in describe(quoted)


def test_the_outcome_is_told_against_the_forecast_and_what_is_outside_its_interval_is_named() -> None:
    quoted = a_quote().model_copy(
        update={"seconds": 100.0, "seconds_low": 90.0, "seconds_high": 120.0, "usd": 1.0, "usd_low": 0.9}
        | {"usd_high": 1.2, "loss": 4.0, "loss_low": 3.9, "loss_high": 4.1}
    )
    told = forecast_errors([quoted, ended(seconds=110.0, loss=4.4)])
    assert told == "against the forecast: time +10 %, loss +10 % (outside its interval)"


def accepted(**changes: object) -> RunAccepted:
    recipe = resolve_recipe({"base": "python-stdlib", **changes})
    return RunAccepted(run_id="r", recipe=recipe.as_json(), recipe_sha256=recipe.sha256(), trace_id="t")


def test_a_training_that_stopped_early_is_compared_over_its_steps_and_its_loss_with_nothing() -> None:
    start, steps = 15.0, 1800
    quoted = a_quote()
    half = start + (quoted.seconds - start) / 2
    stopped = ended(seconds=half, loss=5.0).model_copy(update={"step": 600, "num_steps": steps // 2})
    told = forecast_errors([accepted(), quoted, stopped])
    assert told == ("against the forecast: it stopped early, after 900 of 1,800 steps; for these time +0 %")


def test_the_line_of_prose_says_that_the_law_of_the_loss_is_of_python_source() -> None:
    whole = ended(seconds=60.0, loss=5.0).model_copy(update={"num_steps": 1800})
    assert "law of the loss is of Python source" in forecast_errors([accepted(profile="prose"), a_quote(), whole])
    assert "Python source" not in forecast_errors([accepted(), a_quote(), whole])
    assert forecast_errors([accepted(), whole]) == ""
