"""A base model that could not be trained or served is refused when the run is submitted."""

import os
from pathlib import Path

import pytest
from parts.submissions import TOKENIZER, WEIGHTS, Past, a_submission, the_accepted, the_violations

from ropewalk.ingest.handlers import submit_run
from ropewalk.ingest.settings import Settings

SETTINGS = Settings()


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


async def test_an_endpoint_with_another_decoder_takes_any_family(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    (tmp_path / "model.safetensors").write_text(WEIGHTS)
    (tmp_path / "tokenizer.json").write_text(TOKENIZER)
    request = a_submission(tmp_path, mode="finetune", base_model=str(tmp_path))
    accepted = the_accepted(await submit_run(request, Past(), Settings(ingest_any_family=True)))
    assert accepted.recipe["base_model"] == str(tmp_path)


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


@pytest.mark.parametrize("kind", ["pipe", "device"])
async def test_a_pipe_or_device_for_a_base_models_configuration_blocks_nobody(tmp_path: Path, kind: str) -> None:
    if kind == "pipe":
        os.mkfifo(tmp_path / "config.json")
    else:
        (tmp_path / "config.json").symlink_to("/dev/zero")
    request = a_submission(tmp_path, mode="finetune", base_model=str(tmp_path))
    (violation,) = the_violations(await submit_run(request, Past(), SETTINGS))
    assert "its config.json cannot be read (it is not a file)" in violation
