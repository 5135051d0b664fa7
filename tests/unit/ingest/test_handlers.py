"""A run id is accepted once, and everything wrong with a recipe is said at once."""

import os
from pathlib import Path
from typing import TypeVar

import pytest
from parts.broken_looks import die, stumble
from pydantic import ValidationError

from ropewalk.delivery.outcome import Done, Outcome, Reject, Retry
from ropewalk.events.base import Message
from ropewalk.events.resources import Resources
from ropewalk.events.run import CancelRun, RunAccepted, RunCancelled, RunFailed, RunRejected, StageCapacity, SubmitRun
from ropewalk.ingest import handlers
from ropewalk.ingest.handlers import cancel_run, submit_run
from ropewalk.ingest.settings import Settings
from ropewalk.stages.errors import ChildDiedError

M = TypeVar("M", bound=Message)
SETTINGS = Settings()
WEIGHTS = "\x02" + "\0" * 7 + "{}"  # a whole safetensors file without tensors
TOKENIZER = '{"model": {"vocab": {}}}'


class Past:
    """A timeline of given messages."""

    def __init__(self, *messages: Message) -> None:
        self._messages = messages

    async def last(self, kind: type[M], run_id: str) -> M | None:
        matching = [message for message in self._messages if isinstance(message, kind) and message.entity == run_id]
        return matching[-1] if matching else None


def a_submission(tmp_path: Path, **fields: object) -> SubmitRun:
    texts = tmp_path / "texts"
    texts.mkdir(exist_ok=True)
    for name in ("one", "two"):
        (texts / f"{name}.txt").write_text(f"{name} line of prose\n" * 100)
    recipe = {"sources": [{"path": str(texts), "licence": "MIT"}], **fields}
    return SubmitRun.model_validate({"run_id": "r1", "recipe": recipe})


def the_accepted(outcome: Outcome) -> RunAccepted:
    assert isinstance(outcome, Done)
    (message,) = outcome.messages
    assert isinstance(message, RunAccepted)
    return message


def the_violations(outcome: Outcome) -> tuple[str, ...]:
    assert isinstance(outcome, Done)
    (message,) = outcome.messages
    assert isinstance(message, RunRejected)
    return message.violations


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


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({}, "it is not a folder with a config.json"),
        ({"config.json": "{nope"}, "its config.json cannot be read"),
        ({"config.json": "[]"}, "names no model_type"),
        ({"config.json": '{"model_type": "qwen3"}'}, "has a config.json but no weights"),
        (
            {"config.json": '{"model_type": "qwen3", "max_position_embeddings": 64}', "model.safetensors": WEIGHTS},
            "reads at most 64 tokens, but the recipe's size trains on windows of 256; choose a smaller size",
        ),
        (
            {"config.json": '{"model_type": "gpt2"}', "model.safetensors": WEIGHTS},
            "the endpoint could not run it: model_type is 'gpt2'; this decoder runs qwen3",
        ),
        (
            {
                "config.json": '{"model_type": "qwen2", "rope_scaling": {"rope_type": "yarn"}}',
                "model.safetensors": WEIGHTS,
            },
            "rope_type is 'yarn'",
        ),
        (
            {
                "config.json": '{"model_type": "llama", "vocab_size": 3}',
                "tokenizer.json": '{"model": {"vocab": {"a": 0, "b": 1}}, "added_tokens": [{"id": 3}]}',
                "model.safetensors": WEIGHTS,
            },
            "its tokenizer has 4 tokens and its embedding only 3 rows",
        ),
        (
            {"config.json": '{"model_type": "llama"}', "model.safetensors": WEIGHTS, "chat_template.jinja": "{% if %}"},
            "its chat template cannot be used",
        ),
        (
            {
                "config.json": '{"model_type": "llama"}',
                "model.safetensors": WEIGHTS,
                "tokenizer_config.json": '{"chat_template": [{"name": "rag", "template": "{{ messages }}"}]}',
            },
            "there are chat templates named rag, but none is named 'default'",
        ),
        (
            {
                "config.json": '{"model_type": "llama"}',
                "model.safetensors": "version https://git-lfs.github.com/spec/v1",
            },
            "its weights model.safetensors are a pointer of Git LFS, not the weights",
        ),
        ({"config.json": '{"model_type": "llama"}', "model.safetensors": WEIGHTS + "x"}, "their header says 10"),
        ({"config.json": '{"model_type": "llama"}', "model.safetensors": "\x09" + WEIGHTS[1:]}, "or are cut off"),
        ({"config.json": '{"model_type": "llama"}', "model.safetensors": ""}, "are empty"),
        (
            {"config.json": '{"model_type": "llama"}', "model-00001-of-00002.safetensors": WEIGHTS},
            "their index model.safetensors.index.json is missing",
        ),
        (
            {
                "config.json": '{"model_type": "llama"}',
                "model.safetensors.index.json": '{"weight_map": {"a": "model-00001-of-00002.safetensors"}}',
            },
            "names model-00001-of-00002.safetensors, which is missing",
        ),
        (
            {
                "config.json": '{"model_type": "llama", "vocab_size": 3}',
                "model.safetensors": WEIGHTS,
                "tokenizer.json": "{}",
            },
            "its tokenizer.json cannot be read",
        ),
        ({"config.json": "[" * 100_000}, "its config.json cannot be read"),
        (
            {
                "config.json": '{"model_type": "llama", "vocab_size": 3}',
                "tokenizer.json": "7",
                "model.safetensors": WEIGHTS,
            },
            "its tokenizer.json cannot be read",
        ),
    ],
)
async def test_a_folder_that_is_no_base_model_is_refused(tmp_path: Path, files: dict[str, str], sentence: str) -> None:
    for name, content in {"tokenizer.json": TOKENIZER, **files}.items():
        (tmp_path / name).write_text(content)
    request = a_submission(tmp_path, mode="finetune", base_model=str(tmp_path))
    (violation,) = the_violations(await submit_run(request, Past(), SETTINGS))
    assert violation.startswith(f"field 'base_model' has the value '{tmp_path}'")
    assert sentence in violation


async def test_a_base_model_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "qwen3", "vocab_size": 9}')
    (tmp_path / "model.safetensors").write_text(WEIGHTS)
    request = a_submission(tmp_path, mode="finetune", base_model=str(tmp_path))
    assert "it has no tokenizer (tokenizer.json or" in the_violations(await submit_run(request, Past(), SETTINGS))[0]


@pytest.mark.parametrize("deadline_s", [1e300, 3e11, float("inf"), float("nan"), -1.0])
def test_a_deadline_that_no_clock_can_keep_is_no_request(deadline_s: float) -> None:
    with pytest.raises(ValidationError):
        SubmitRun(run_id="r", recipe={}, deadline_s=deadline_s)


async def test_an_endpoint_with_another_decoder_takes_any_family(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    (tmp_path / "model.safetensors").write_text(WEIGHTS)
    (tmp_path / "tokenizer.json").write_text(TOKENIZER)
    request = a_submission(tmp_path, mode="finetune", base_model=str(tmp_path))
    the_accepted(await submit_run(request, Past(), Settings(ingest_any_family=True)))


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


@pytest.mark.parametrize(("name", "sentence"), [("gone", "no such folder"), ("file", "it is a file")])
async def test_a_base_model_that_is_no_folder_is_refused(tmp_path: Path, name: str, sentence: str) -> None:
    (tmp_path / "file").write_text("")
    request = a_submission(tmp_path, mode="finetune", base_model=str(tmp_path / name))
    assert sentence in the_violations(await submit_run(request, Past(), SETTINGS))[0]


async def test_a_folder_with_a_model_in_the_home_folder_is_a_base_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "config.json").write_text('{"model_type": "qwen3", "max_position_embeddings": 256}')
    (tmp_path / "model.safetensors").write_text(WEIGHTS)
    (tmp_path / "tokenizer.json").write_text(TOKENIZER)
    accepted = the_accepted(await submit_run(a_submission(tmp_path, mode="finetune", base_model="~"), Past(), SETTINGS))
    assert accepted.recipe["mode"] == "finetune"


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


@pytest.mark.parametrize("kind", ["pipe", "device"])
async def test_a_pipe_or_device_for_a_base_models_configuration_blocks_nobody(tmp_path: Path, kind: str) -> None:
    if kind == "pipe":
        os.mkfifo(tmp_path / "config.json")
    else:
        (tmp_path / "config.json").symlink_to("/dev/zero")
    request = a_submission(tmp_path, mode="finetune", base_model=str(tmp_path))
    (violation,) = the_violations(await submit_run(request, Past(), SETTINGS))
    assert "its config.json cannot be read (it is not a file)" in violation


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
