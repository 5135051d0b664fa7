"""`cost compare` on a real log: what was measured and recorded, priced."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from ropewalk.events.base import Message
from ropewalk.events.evaluation import Estimate, EvaluationCompleted
from ropewalk.events.monitoring import CostRecorded
from ropewalk.events.run import RunAccepted, StageCompleted
from ropewalk.events.training import TimeAccount, TrainingCompleted
from ropewalk.recipes.builtin import resolve_recipe
from ropewalk.storage.local import LocalObjects
from ropewalk.usecases.comparison import TaskSection

Ropewalk = Callable[..., Result]
RECIPE = resolve_recipe({"base": "python-stdlib", "name": "mine"})
ACCEPTED = RunAccepted(run_id="r", recipe=RECIPE.as_json(), recipe_sha256=RECIPE.sha256())
TRAINED = TrainingCompleted(
    run_id="r",
    checkpoint_id="c",
    uri="x",
    step=9,
    loss=1.0,
    tokens=9,
    seconds=300.0,
    account=TimeAccount(wall_s=300.0, step_s=240.0),
)
ENDED = StageCompleted(run_id="r", stage="train", epoch=1, seconds=300.0, cpu_seconds=900.0)
PRICED = CostRecorded(
    run_id="r", stage="train", epoch=1, seconds=300.0, cpu_seconds=900.0, usd=0.01, usd_per_cpu_hour=0.04
)
JUDGED = EvaluationCompleted(run_id="r", checkpoint_id="c", uri="evaluations/x", estimates=())
TAKEN = {"candidate": (50.0, 40.0, 0.5, 1.0), "instruction": (500.0, 90.0, 4.5, 6.0)}


def mean(metric: str, value: float) -> Estimate:
    bounds = {"value": value, "lower": value * 0.9, "upper": value * 1.1, "level": 0.95, "num_items": 64}
    return Estimate(metric=metric, method="m", quantity=metric.replace("_", " "), **bounds)


@pytest.fixture
def judged(tmp_path: Path) -> Message:
    metrics = ("prompt_tokens", "answer_tokens", "core_seconds", "answer_seconds")
    levels = {
        name: {metric: mean(metric, value) for metric, value in zip(metrics, values, strict=True)}
        for name, values in TAKEN.items()
    }
    section = TaskSection(
        opponent="instruction",
        num_examples=64,
        num_held_out=64,
        num_threads=2,
        has_schema=True,
        num_shots=0,
        max_answer_tokens=96,
        levels=levels,
        gains={},
        num_unfit={},
        definitions={},
    )
    folder = tmp_path / "evaluation"
    folder.mkdir()
    (folder / "report.json").write_text(json.dumps({"task": section.model_dump(mode="json")}))
    (folder / "answers.jsonl").write_text("")
    LocalObjects(tmp_path / "state" / "objects").publish(folder, JUDGED.uri, {})
    return JUDGED


def test_the_prices_follow_from_the_evaluation_the_log_and_the_price_table(
    ropewalk: Ropewalk, publish: Callable[..., None], judged: Message, tmp_path: Path
) -> None:
    publish(ACCEPTED, TRAINED, ENDED, PRICED, judged)
    done = ropewalk("cost", "compare", "r", "--requests-a-day", "1000", "--json")
    assert done.exit_code == 0, repr(done.exception)
    told = json.loads(done.stdout)
    assert told["measured"]["now"]["prompt_tokens"] == {"value": 500, "lower": 450, "upper": 550, "level": 0.95}
    assert told["measured"]["now"]["answer_seconds"]["value"] == 6.0  # what one waits, which is not priced
    assert told["recorded"]["account"]["step_s"] == 240
    assert told["assumed"]["requests_a_day"] == 1000
    assert told["tariff"]["by_hour"]["cpu"]["assumption"]
    ways = {way["from"]: way for way in told["usd_per_1000_requests"]}
    here = ways["the base model here, long prompt"]
    # 4.5 s of a core at $0.04 an hour, paid for twice as long as they are busy
    assert here["now"] == pytest.approx(1000 * 4.5 * 0.04 / 3600 / 0.5)
    assert here["times_cheaper"] == pytest.approx(9)
    assert here["break_even_requests"] == pytest.approx(1000 * 0.01 / (here["now"] - here["after"]))
    assert here["break_even_days"] == pytest.approx(here["break_even_requests"] / 1000)
    assert here["after_with_training"] == pytest.approx(here["after"] + 0.01 / 30)
    assert here["least_saving"]["now"] < here["now"] < here["most_saving"]["now"]
    # 500 tokens at $2.50 and, as briefly as the baked model, 40 at $15 a million
    assert ways["a large model, paid by the token"]["now"] == pytest.approx(500 * 2.5e-3 + 40 * 15e-3)

    table = tmp_path / "prices.yaml"
    table.write_text("date: 2027-01-01\nby_hour: {cpu: {usd: 0.0, source: solar}}\n")
    shown = ropewalk("cost", "compare", "r", "--prices", str(table)).stdout
    assert "500 [450, 550]" in shown
    assert "never" in shown
    assert "80 % productive" in shown


def test_a_run_that_cannot_be_compared_yet_says_why(ropewalk: Ropewalk, publish: Callable[..., None]) -> None:
    publish(ACCEPTED)
    assert "no evaluation of a task" in str(ropewalk("cost", "compare", "r").exception)
    assert "there is no run 'other'" in str(ropewalk("cost", "compare", "other").exception)
