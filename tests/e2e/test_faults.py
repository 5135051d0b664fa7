"""What users and operators do wrong, and what machines do: nothing is lost, nothing hangs, the words are clear."""

import asyncio
import time
from pathlib import Path
from typing import Any

import nats
import pytest

from ropewalk.events.run import RunCancelled, RunCompleted, RunFailed, RunRejected, StageCompleted, StageStarted
from ropewalk.events.training import StepsCommitted, TrainingProgressed

pytestmark = pytest.mark.stack

OWNER = {
    "ingest": "ingest",
    "preprocess": "preprocessing",
    "search": "trainer",
    "train": "trainer",
    "export": "checkpoint-manager",
    "evaluate": "evaluator",
    "deploy": "serving",
    "promote": "checkpoint-manager",
}


def refused(stack, run_id: str, kind: type) -> str:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        for event in stack.timeline(run_id):
            if isinstance(event, kind):
                return " ".join(event.violations) if isinstance(event, RunRejected) else event.message
        time.sleep(0.3)
    raise AssertionError(f"no {kind.__name__}: {stack.timeline(run_id)}")


def a_recipe(path: Path, **changes: object) -> dict:
    return {"sources": [{"path": str(path), "licence": "MIT"}], "size": "tiny", "minutes": 0.1} | changes


def test_an_unknown_recipe_field_is_named_by_the_command_line(stack, tmp_path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("base: python-stdlib-tiny\nlearning_rate: 1\n")
    done = stack.ropewalk("submit", str(recipe))
    assert done.returncode == 2
    assert "unknown field 'learning_rate' (value 1)" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_recipe_field_published_by_hand_is_rejected_with_a_sentence(stack, tmp_path) -> None:
    stack.submit({"base": "python-stdlib-tiny", "learning_rate": 1}, "bad-field")
    assert "unknown field 'learning_rate'" in refused(stack, "bad-field", RunRejected)


def test_a_missing_source_path_is_named(stack, tmp_path) -> None:
    stack.submit(a_recipe(tmp_path / "nowhere"), "bad-path")
    assert str(tmp_path / "nowhere") in refused(stack, "bad-path", RunRejected)


def test_an_empty_corpus_is_refused_with_a_sentence(stack, tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    stack.submit(a_recipe(stack.offered(tmp_path / "empty")), "bad-empty")
    assert "no document is left of 0 files" in refused(stack, "bad-empty", RunRejected)


def test_a_corpus_of_binary_files_is_refused_and_one_of_them_is_named(stack, tmp_path) -> None:
    (tmp_path / "blob.txt").write_bytes(b"\x00\x01\xff" * 500)
    stack.submit(a_recipe(stack.offered(tmp_path)), "bad-binary")
    assert "blob.txt: a NUL byte" in refused(stack, "bad-binary", RunRejected)


def test_a_corpus_smaller_than_a_batch_is_refused_with_its_sizes(stack, tmp_path) -> None:
    for number in range(3):
        lines = [f"value_{number}_{line} = compute(first={line})" for line in range(6)]
        (tmp_path / f"{number}.py").write_text("\n".join(lines))
    stack.submit(a_recipe(stack.offered(tmp_path), profile="code", size="nano"), "bad-small")
    assert "smaller than one batch of 1,024 tokens" in refused(stack, "bad-small", RunRejected)


async def published_by_hand(options: dict[str, Any], subject: str, body: bytes) -> str:
    """Publish with plain nats-py and return the reason on the dead letter that it becomes."""
    connection = await nats.connect(**options)
    dead_letters = await connection.subscribe("dlq.>")
    await connection.jetstream().publish(subject, body)
    try:
        while True:
            letter = await dead_letters.next_msg(timeout=60)
            if letter.headers["ropewalk-subject"] == subject:
                return str(letter.headers["ropewalk-error"])
    finally:
        await connection.close()


@pytest.mark.parametrize("body", [b"not even JSON", b'{"run_id": "by-hand"}', b'{"run_id": "other", "recipe": {}}'])
def test_a_malformed_request_published_by_hand_becomes_a_dead_letter_and_blocks_nobody(stack, body) -> None:
    subject = f"cmd.run.submit.v1.by-hand-{len(body)}"
    assert asyncio.run(published_by_hand(stack.nats_options, subject, body))
    stack.submit({"base": "python-stdlib-tiny", "learning_rate": 1}, f"after-by-hand-{len(body)}")
    refused(stack, f"after-by-hand-{len(body)}", RunRejected)


def test_a_run_survives_the_death_of_every_service_at_every_stage_and_of_the_broker(stack) -> None:
    """kill -9 of the owner as each stage starts; of the broker during training. One terminal event, no lost sample."""
    stack.submit({"base": "python-stdlib-tiny", "trials": 2, "seed": 5}, "tortured")
    killed: set[str] = set()
    deadline = time.monotonic() + 1.5 * stack.deadline_s
    while time.monotonic() < deadline:
        timeline = stack.timeline("tortured")
        for event in timeline:
            if isinstance(event, StageStarted) and event.stage not in killed:
                killed.add(event.stage)
                stack.kill(OWNER[event.stage])
            if isinstance(event, TrainingProgressed) and "broker" not in killed:
                killed.add("broker")
                stack.kill("broker")
        if any(isinstance(event, RunCompleted | RunFailed) for event in timeline):
            break
        time.sleep(0.2)
    assert killed >= set(OWNER) - {"deploy", "promote"} | {"broker"}
    terminal = [event for event in timeline if isinstance(event, RunCompleted | RunFailed | RunCancelled)]
    assert [type(event) for event in terminal] == [RunCompleted], terminal
    completed = [event.stage for event in timeline if isinstance(event, StageCompleted)]
    assert len(completed) == len(set(completed))
    assert stack.ropewalk("ledger", "verify", "tortured").returncode == 0


def test_a_run_submitted_and_cancelled_from_the_command_line_stops_and_ends_once(stack, tmp_path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("{base: python-stdlib-tiny, trials: 0, minutes: 5, seed: 6}")
    assert stack.json("submit", str(recipe), "--run-id", "cancelled")["run_id"] == "cancelled"
    stack.until("cancelled", StepsCommitted)
    assert stack.ropewalk("cancel", "cancelled", "--mode", "now").returncode == 0
    stack.until("cancelled", RunCancelled)
    time.sleep(3)
    assert "TrainingCompleted" not in {type(event).__name__ for event in stack.timeline("cancelled")}


def test_down_and_up_again_continue_a_run(stack) -> None:
    stack.submit({"base": "python-stdlib-tiny", "trials": 0, "seed": 7}, "continued")
    stack.until("continued", TrainingProgressed)
    stack.down()
    stack.up()
    stack.until("continued", RunCompleted)
    assert stack.ropewalk("ledger", "verify", "continued").returncode == 0
