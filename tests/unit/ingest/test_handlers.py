"""A run id is accepted once, and everything wrong with a recipe is said at once."""

import os
from pathlib import Path

import pytest
from parts.broken_looks import die, stumble
from parts.submissions import Past, a_submission, the_accepted, the_violations
from pydantic import ValidationError

from ropewalk.delivery.outcome import Done, Reject, Retry
from ropewalk.events.resources import Resources
from ropewalk.events.run import (
    CancelRun,
    PauseRun,
    ResumeRun,
    RunAccepted,
    RunCancelled,
    RunFailed,
    RunPaused,
    RunRejected,
    RunResumed,
    StageCapacity,
    StageStarted,
    SubmitRun,
)
from ropewalk.events.task_set import TaskSetFrozen, TaskSetRegistered
from ropewalk.ingest import handlers
from ropewalk.ingest.handlers import cancel_run, pause_run, resume_run, submit_run
from ropewalk.ingest.settings import Settings
from ropewalk.stages.errors import ChildDiedError

SETTINGS = Settings()


async def test_a_sound_recipe_is_accepted_complete(tmp_path: Path) -> None:
    accepted = the_accepted(await submit_run(a_submission(tmp_path), Past(), SETTINGS))
    assert accepted.recipe["plan"] is not None
    assert len(accepted.recipe_sha256) == 64


async def test_a_built_in_recipe_is_named_by_its_base() -> None:
    request = SubmitRun(run_id="r1", recipe={"base": "python-stdlib", "minutes": 1.0})
    accepted = the_accepted(await submit_run(request, Past(), SETTINGS))
    assert accepted.recipe["minutes"] == 1.0
    assert accepted.recipe["name"] == "python-stdlib"


async def test_an_unknown_field_is_named(tmp_path: Path) -> None:
    (violation,) = the_violations(await submit_run(a_submission(tmp_path, epochs=3), Past(), SETTINGS))
    assert "unknown field 'epochs' (value 3)" in violation


async def test_more_workers_than_any_pool_has_cpus_are_refused(tmp_path: Path) -> None:
    capacity = StageCapacity(stage="train", pools={"laptop": 2, "cluster": 16.5}, operation_id="o")
    request = a_submission(tmp_path, num_workers=64)
    (violation,) = the_violations(await submit_run(request, Past(capacity), SETTINGS))
    assert "field 'num_workers' has the value 64: the largest pool for training, cluster, has 16.5 CPUs" in violation
    assert "choose at most 16" in violation
    the_accepted(await submit_run(a_submission(tmp_path, num_workers=16), Past(capacity), SETTINGS))
    the_accepted(await submit_run(request, Past(), SETTINGS))  # no trainer has declared anything yet


async def test_a_run_whose_checkpoints_find_no_room_on_the_disk_is_refused_unless_it_was_accepted_before(
    tmp_path: Path,
) -> None:
    training = {"keep_checkpoints": 1000, "checkpoint_every": 1, "total_steps": 100_000}
    request = a_submission(tmp_path, size="base", training=training)
    *_, violation = the_violations(await submit_run(request, Past(), SETTINGS))
    assert "the run leaves 1005 checkpoints of" in violation
    assert "the disk of the objects has" in violation
    accepted = the_accepted(await submit_run(a_submission(tmp_path), Past(), SETTINGS))
    assert "the disk" not in (await submit_run(request, Past(accepted), SETTINGS)).reason  # its own fill it


async def test_gpus_that_no_pool_has_are_refused_in_one_sentence(tmp_path: Path) -> None:
    rooms = {"small": Resources(cpus=8), "large": Resources(cpus=8, gpus=2, gpu_kind="h100")}
    capacity = StageCapacity(
        stage="train", pools={name: room.cpus for name, room in rooms.items()}, rooms=rooms, operation_id="o"
    )
    request = a_submission(tmp_path, device="cuda", num_workers=4)
    (violation,) = the_violations(await submit_run(request, Past(capacity), SETTINGS))
    assert violation.startswith(
        "field 'device' has the value 'cuda': training needs 4 CPUs and 4 GPUs, and the largest"
    )
    assert "pool for it, large, has 8 CPUs and 2 GPUs (h100); choose fewer workers" in violation
    other = a_submission(tmp_path, device="cuda", num_workers=1, gpu_kind="a100")
    assert "1 GPU (a100)" in the_violations(await submit_run(other, Past(capacity), SETTINGS))[0]
    the_accepted(await submit_run(a_submission(tmp_path, device="cuda"), Past(capacity), SETTINGS))
    none = StageCapacity(stage="train", pools={"cpus": 8}, operation_id="o")
    (violation,) = the_violations(await submit_run(request, Past(none), SETTINGS))
    assert "has 8 CPUs; leave `device` out, or declare the GPUs (ROPEWALK_CAPACITY_GPUS)" in violation


async def test_every_missing_path_is_named_with_a_remedy(tmp_path: Path) -> None:
    sources = [{"path": f"/nowhere/{name}", "licence": "MIT"} for name in "ab"]
    violations = the_violations(await submit_run(a_submission(tmp_path, sources=sources), Past(), SETTINGS))
    assert len(violations) == 2
    assert violations[1].startswith("field 'sources.1.path' has the value '/nowhere/b': there is no such file")
    assert "absolute path" in violations[1]


@pytest.mark.parametrize("deadline_s", [1e300, 3e11, float("inf"), float("nan"), -1.0])
def test_a_deadline_that_no_clock_can_keep_is_no_request(deadline_s: float) -> None:
    with pytest.raises(ValidationError):
        SubmitRun(run_id="r", recipe={}, deadline_s=deadline_s)


async def test_a_deadline_later_than_any_timer_lives_is_refused(tmp_path: Path) -> None:
    asked = a_submission(tmp_path).model_copy(update={"deadline_s": 30 * 86_400.0})
    assert the_violations(await submit_run(asked, Past(), SETTINGS)) == (
        "the deadline is 30 days away: 29 at most, or leave it out",
    )


@pytest.mark.parametrize("field", ["base_model", "path"])
async def test_a_relative_path_is_refused_because_it_would_be_the_daemons(tmp_path: Path, field: str) -> None:
    fields: dict[str, object] = {"sources": [{"path": "texts", "licence": "MIT"}]}
    if field == "base_model":
        fields = {"mode": "finetune", "base_model": "./model"}
    violations = the_violations(await submit_run(a_submission(tmp_path, **fields), Past(), SETTINGS))
    assert "it is relative, and the services run elsewhere; give an absolute path" in violations[0]


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({}, "no document is left of 0 files: none matches `include`"),
        ({"a.bin": b"\0\1\2" * 99}, "no document is left of 1 files"),
        ({"a.txt": b"one document only\n" * 99}, "they give a single document"),
        ({"a.txt": b"short\n", "b.txt": b"shorter\n"}, "2 documents with 14 bytes are smaller than one batch of 1,024"),
    ],
)
async def test_data_that_cannot_give_a_model_is_refused_at_once(
    tmp_path: Path, files: dict[str, bytes], sentence: str
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    request = a_submission(tmp_path, sources=[{"path": str(folder), "licence": "MIT"}])
    (violation,) = the_violations(await submit_run(request, Past(), SETTINGS))
    assert sentence in violation


async def test_submitting_the_same_again_changes_nothing(tmp_path: Path) -> None:
    accepted = the_accepted(await submit_run(a_submission(tmp_path), Past(), SETTINGS))
    assert await submit_run(a_submission(tmp_path), Past(accepted), SETTINGS) == Done()


@pytest.mark.parametrize("fields", [{"seed": 18}, {"epochs": 3}])
async def test_another_recipe_under_a_running_id_never_touches_the_run(
    tmp_path: Path, fields: dict[str, object]
) -> None:
    accepted = the_accepted(await submit_run(a_submission(tmp_path), Past(), SETTINGS))
    outcome = await submit_run(a_submission(tmp_path, **fields), Past(accepted), SETTINGS)
    assert isinstance(outcome, Reject)
    assert "run r1 was accepted with another recipe" in outcome.reason


async def test_a_rejected_run_stays_rejected_and_the_next_try_needs_an_id_of_its_own(tmp_path: Path) -> None:
    rejected = RunRejected(
        run_id="r1", violations=the_violations(await submit_run(a_submission(tmp_path, epochs=3), Past(), SETTINGS))
    )
    assert await submit_run(a_submission(tmp_path, epochs=3), Past(rejected), SETTINGS) == Done()
    for outcome in (
        await submit_run(a_submission(tmp_path), Past(rejected), SETTINGS),
        await submit_run(a_submission(tmp_path, ages=3), Past(rejected), SETTINGS),
    ):
        assert isinstance(outcome, Reject)
        assert "'epochs'" in outcome.reason
        assert outcome.reason.endswith("submit under a new run id")


async def test_a_rejected_run_needs_no_cancelling(tmp_path: Path) -> None:
    past = Past(a_submission(tmp_path), RunRejected(run_id="r1", violations=("v",)))
    assert await cancel_run(CancelRun(run_id="r1"), past) == Done()


async def test_a_run_is_cancelled_once_and_only_while_it_lives(tmp_path: Path) -> None:
    request = CancelRun(run_id="r1", mode="now", reason="enough")
    accepted = the_accepted(await submit_run(a_submission(tmp_path), Past(), SETTINGS))
    cancelled = RunCancelled(run_id="r1", mode="now", reason="enough")
    assert await cancel_run(request, Past(accepted)) == Done((cancelled,))
    assert await cancel_run(request, Past(accepted, cancelled)) == Done()
    assert await cancel_run(request, Past(accepted, RunFailed(run_id="r1", stage="train", message="x"))) == Done()


async def test_a_run_is_paused_and_resumed_once_and_its_deadline_moves_by_the_pause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    accepted = RunAccepted(run_id="r1", recipe={}, recipe_sha256="h", deadline_unix=500.0)
    training = StageStarted(run_id="r1", stage="train", epoch=1)
    paused = RunPaused(run_id="r1", stage="train", at_unix=100.0, reason="lent")
    resumed = RunResumed(run_id="r1", stage="train", deadline_unix=530.0)
    pause, resume = PauseRun(run_id="r1", reason="lent"), ResumeRun(run_id="r1")
    monkeypatch.setattr(handlers.time, "time", lambda: 100.0)
    assert await pause_run(pause, Past(accepted)) == Done()
    assert await pause_run(pause, Past(accepted, training)) == Done((paused,))
    assert await pause_run(pause, Past(accepted, training, paused)) == Done()
    monkeypatch.setattr(handlers.time, "time", lambda: 130.0)
    assert await resume_run(resume, Past(accepted, training, paused)) == Done((resumed,))
    assert await resume_run(resume, Past(accepted, training, paused, resumed)) == Done()


async def test_cancelling_an_unknown_run_is_rejected_but_a_submitted_one_is_waited_for(tmp_path: Path) -> None:
    request = CancelRun(run_id="r1")
    outcome = await cancel_run(request, Past())
    assert isinstance(outcome, Reject)
    assert "no run r1 to cancel" in outcome.reason
    assert isinstance(await cancel_run(request, Past(a_submission(tmp_path))), Retry)


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/tmp/" + "x" * 300, "it cannot be a path here (file name too long)"),
        ("/tmp/" + "é/" * 1400, "it cannot be a path here (file name too long)"),
        ("/tmp/a\0b", "it cannot be a path here (embedded null byte)"),
        ("~nobody-of-this-name/data", "it cannot be a path here"),
        ("/proc/self/environ", "it belongs to the stack or the system and is never read"),
        ("/proc/self", "it belongs to the stack or the system and is never read"),
        ("/dev/zero", "it belongs to the stack or the system and is never read"),
        ("/etc/hostname/below", "a part of it is a file"),
        ("s3://bucket/texts", "'s3://bucket/texts': nothing is read from s3:// here; copy it to a folder and give"),
        ("HTTPS://example.org/a.txt", "nothing is read from https:// here"),
    ],
)
async def test_a_path_that_cannot_be_read_is_refused_whatever_stands_in_it(
    tmp_path: Path, path: str, sentence: str
) -> None:
    sources = [{"path": path, "licence": "MIT"}]
    (violation,) = the_violations(await submit_run(a_submission(tmp_path, sources=sources), Past(), SETTINGS))
    assert sentence in violation
    assert violation.isprintable()
    assert len(violation) < 1000


async def test_a_pipe_is_no_source(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    sources = [{"path": str(tmp_path / "pipe"), "licence": "MIT"}]
    (violation,) = the_violations(await submit_run(a_submission(tmp_path, sources=sources), Past(), SETTINGS))
    assert "it is a pipe, not a file" in violation


async def test_the_stacks_own_folders_are_no_source_under_any_name(tmp_path: Path) -> None:
    (tmp_path / "state" / "objects").mkdir(parents=True)
    (tmp_path / "alias").symlink_to(tmp_path / "state")
    settings = Settings(state_dir=tmp_path / "state")
    for path in ("state", "state/objects", "alias", "alias/objects", "state/../state"):
        sources = [{"path": str(tmp_path / path), "licence": "MIT"}]
        (violation,) = the_violations(await submit_run(a_submission(tmp_path, sources=sources), Past(), settings))
        assert "belongs to the stack" in violation


async def test_with_roots_sources_and_base_models_lie_below_them(tmp_path: Path) -> None:
    within = a_submission(tmp_path)  # its data is in tmp_path/texts
    (tmp_path / "other").mkdir()
    (tmp_path / "texts" / "out").symlink_to(tmp_path / "other")
    settings = Settings(ingest_roots=f"{tmp_path}/texts:{tmp_path}/more")
    the_accepted(await submit_run(within, Past(), settings))
    for path in ("other", "texts/out", "texts/../other"):
        sources = [{"path": str(tmp_path / path), "licence": "MIT"}]
        (violation,) = the_violations(await submit_run(a_submission(tmp_path, sources=sources), Past(), settings))
        assert "ROPEWALK_INGEST_ROOTS" in violation
    request = a_submission(tmp_path, mode="finetune", base_model=str(tmp_path / "other"))
    (violation,) = the_violations(await submit_run(request, Past(), settings))
    assert violation.startswith("field 'base_model'")
    assert "ROPEWALK_INGEST_ROOTS" in violation


async def test_whoever_submits_is_answered_even_where_our_own_look_at_the_data_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("first_look", "recipe_violations"):  # in the child process and in our own
        monkeypatch.setattr(handlers, name, stumble)
        (violation,) = the_violations(await submit_run(a_submission(tmp_path), Past(), SETTINGS))
        assert violation.startswith("the recipe or its data cannot be looked at: KeyError: ")
        assert violation.isprintable()


async def test_a_look_at_the_data_that_ends_its_process_does_not_end_the_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handlers, "first_look", die)
    with pytest.raises(ChildDiedError, match="was killed by SIGKILL"):  # the message is delivered again
        await submit_run(a_submission(tmp_path), Past(), SETTINGS)


async def test_a_task_whose_schema_no_example_fits_is_rejected(tmp_path: Path) -> None:
    examples = tmp_path / "examples.jsonl"
    examples.write_text('{"input": "a", "output": "b"}\n' * 10)
    request = SubmitRun(
        run_id="r1",
        recipe={
            "mode": "finetune",
            "base_model": "org/model",
            "sources": [{"path": str(examples), "licence": "MIT", "format": "examples"}],
            "task": {"instruction": "Say b.", "json_schema": {"type": "object"}},
        },
    )
    (violation,) = the_violations(await submit_run(request, Past(), SETTINGS))
    assert "field 'task.json_schema': none of 10 examples fits it" in violation


def a_task_set(version: int, content: str, primary: str = "") -> tuple[TaskSetRegistered, TaskSetFrozen]:
    name = {"task_set_id": "choosing", "version": version, "content": content}
    registered = TaskSetRegistered(
        **name,
        kind="mc",
        use_case="u",
        licence="CC0-1.0",
        metrics=("acc",),
        primary=primary,
        guardrails=(),
        num_items=20,
        num_clusters=20,
        splits={},
    )
    return registered, TaskSetFrozen(**name)


async def test_a_recipe_names_task_sets_that_are_frozen_and_one_that_decides_at_most(tmp_path: Path) -> None:
    request = a_submission(tmp_path, evaluation={"task_sets": ["choosing@1", "choosing@2"]})
    unknown = the_violations(await submit_run(request, Past(), SETTINGS))
    assert unknown[0] == (
        "field 'evaluation.task_sets' names choosing@1, which is not frozen: `ropewalk taskset add` comes first"
    )
    one, two = a_task_set(1, "a"), a_task_set(2, "b")
    (violation,) = the_violations(await submit_run(request, Past(*one, two[0]), SETTINGS))
    assert violation.endswith("names choosing@2, which is not frozen: `ropewalk taskset freeze` comes first")
    accepted = the_accepted(await submit_run(request, Past(*one, *two), SETTINGS))
    assert accepted.recipe["evaluation"]["task_sets"] == ["choosing@1", "choosing@2"]
    both = Past(*a_task_set(1, "a", "acc"), *a_task_set(2, "b", "acc"))
    (violation,) = the_violations(await submit_run(request, both, SETTINGS))
    assert "choosing@1 and choosing@2, which would both decide: name one" in violation


async def test_a_task_set_without_a_version_is_refused_and_a_recipe_without_any_is_what_it_was(tmp_path: Path) -> None:
    request = a_submission(tmp_path, evaluation={"task_sets": ["choosing"]})
    (violation,) = the_violations(await submit_run(request, Past(), SETTINGS))
    assert "'choosing' names no version of a task set: write it as `copying@1`" in violation
    accepted = the_accepted(await submit_run(a_submission(tmp_path), Past(), SETTINGS))
    assert "task_sets" not in accepted.recipe["evaluation"]
