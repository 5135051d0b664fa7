"""The export of the small run, fine-tuned with LoRA on docstrings, on the real stack."""

import json
import shutil
import sysconfig
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from transformers import AutoTokenizer

from ropewalk.corpus.document import read_records
from ropewalk.corpus.shards import TokenShard
from ropewalk.events.checkpoint import CheckpointExported, CheckpointSaved, ModelPromoted
from ropewalk.events.data import DatasetPublished, RecordQuarantined
from ropewalk.events.evaluation import EvaluationCompleted, GateDecided
from ropewalk.events.run import RunCompleted, RunRejected
from ropewalk.recipes.docstrings import docstring_examples, write_examples

pytestmark = pytest.mark.stack


def a_finetune(base_model: Path, chat: Path) -> dict[str, Any]:
    source = {"path": str(chat), "licence": "PSF-2.0", "format": "chat"}
    return {
        "name": "tuned",
        "mode": "finetune",
        "base_model": str(base_model),
        "adapter": "lora",
        "sources": [source],
        "size": "tiny",
        "minutes": 0.1,
    }


def fetched(stack, uri: str) -> Path:
    return stack.objects.fetch(uri)


def the_end(stack, run_id: str, kind: type) -> str:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for event in stack.timeline(run_id):
            if isinstance(event, kind):
                return " ".join(event.violations) if isinstance(event, RunRejected) else event.message
        time.sleep(0.3)
    raise AssertionError(f"no {kind.__name__}: {stack.timeline(run_id)}")


@pytest.fixture(scope="module")
def base_model(stack, promoted, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "base"
    shutil.copytree(fetched(stack, stack.until("small", CheckpointExported).uri), folder)
    return stack.offered(folder)


@pytest.fixture(scope="module")
def chat(tmp_path_factory) -> Path:
    """150 docstrings and two lines that are no conversations."""
    path = tmp_path_factory.mktemp("chat") / "chat.jsonl"
    assert write_examples(docstring_examples(Path(sysconfig.get_paths()["stdlib"]), 150), path) == 150
    with path.open("a") as file:
        file.write('{"messages": "hello"}\n{"messages": [{"role": "robot", "content": "hello"}]}\n')
    return path


@pytest.fixture(scope="module")
def tuned(stack, base_model, chat) -> ModelPromoted:
    stack.submit(a_finetune(base_model, stack.offered(chat)), "tuned")
    completed = stack.until("tuned", RunCompleted)
    assert completed.outcome == "promoted", stack.until("tuned", GateDecided).reasons
    return stack.until("tuned", ModelPromoted)


def test_the_loss_counts_the_answers_alone(stack, tuned, chat) -> None:
    records = [json.loads(line)["messages"] for line in chat.read_text(encoding="utf-8").splitlines()]
    answers = [turns[1]["content"] for turns in records if len(turns) == 2]
    dataset = stack.until("tuned", DatasetPublished)
    shard = TokenShard(fetched(stack, dataset.uri))
    tokenizer = AutoTokenizer.from_pretrained(str(fetched(stack, dataset.tokenizer_uri)))
    documents = list(shard.documents())
    assert len(documents) == dataset.num_kept > 50
    assert shard.num_windows <= len(documents)
    for document in documents:
        index, first = divmod(document.start, shard.meta.context_length)
        window, own = shard.window(index), slice(first, first + document.length - 1)
        learnt = tokenizer.decode(window.targets[own][window.mask[own]]).removesuffix("<|endoftext|>").rstrip("\ufffd")
        assert learnt, index
        assert any(answer.startswith(learnt) for answer in answers), learnt
        assert tokenizer.decode(window.inputs[own]).startswith("<|user|>\nWrite the docstring of `")


def test_records_that_are_no_conversations_are_set_aside_with_their_reasons(stack, tuned) -> None:
    found = {event.reason: event for event in stack.timeline("tuned") if isinstance(event, RecordQuarantined)}
    assert {reason: event.num_records for reason, event in found.items()} == {"missing_field": 1, "bad_messages": 1}


def test_the_held_out_answers_cost_fewer_bits_than_under_the_base_model(stack, tuned) -> None:
    decided = stack.until("tuned", GateDecided)
    assert (decided.decision, decided.baseline) == ("promote", "the base model")
    assert 0 < decided.comparison.lower < decided.comparison.value
    estimates = {item.metric: item.value for item in stack.until("tuned", EvaluationCompleted).estimates}
    gain = estimates["base_model_bits_per_byte"] - estimates["bits_per_byte"]
    assert decided.comparison.value == pytest.approx(gain)


def test_no_held_out_conversation_was_trained_on(stack, tuned) -> None:
    dataset = stack.until("tuned", DatasetPublished)
    held_out = {item["path"] for item in read_records(fetched(stack, dataset.evalset_uri) / "items.jsonl.zst")}
    assert len(held_out) == dataset.num_held_out - dataset.num_dev >= 20
    assert not held_out & {document.path for document in TokenShard(fetched(stack, dataset.uri)).documents()}


def test_the_checkpoint_holds_the_adapter_and_the_export_the_merged_model(stack, tuned) -> None:
    saved = [event for event in stack.timeline("tuned") if isinstance(event, CheckpointSaved)][-1]
    folder = fetched(stack, saved.uri)
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*")}
    assert {"adapter/adapter_model.safetensors", "adapter/adapter_config.json", "model.safetensors"} <= names
    assert "adapter_model.safetensors" not in {path.name for path in fetched(stack, tuned.export_uri).iterdir()}


def test_the_tuned_model_chats(stack, tuned) -> None:
    question = {"role": "user", "content": "Write the docstring of `def close(self)`"}
    response = httpx.post(
        f"{stack.settings.openai_url}/chat/completions",
        headers={"authorization": f"Bearer {stack.settings.api_key}"},
        json={"model": tuned.model, "messages": [question], "max_tokens": 24, "temperature": 0},
        trust_env=False,
    )
    assert response.status_code == 200, response.text
    assert response.json()["choices"][0]["message"]["content"].strip()


def test_a_base_model_that_is_not_there_is_named(stack, chat, tmp_path) -> None:
    stack.submit(a_finetune(tmp_path / "gone", stack.offered(chat)), "no-base")
    sentence = the_end(stack, "no-base", RunRejected)
    assert "'base_model'" in sentence
    assert "there is no such folder; name the folder of a Hugging Face checkpoint or a hub id" in sentence


def test_a_chat_file_without_a_conversation_names_what_was_wrong(stack, base_model, tmp_path) -> None:
    path = tmp_path / "chat.jsonl"
    path.write_text('{"messages": [{"role": "user", "content": "hello"}]}\nnot json\n')
    stack.submit(a_finetune(base_model, stack.offered(path)), "no-chat")
    sentence = the_end(stack, "no-chat", RunRejected)
    assert "field 'sources': no document is left of 1 files" in sentence
    assert "chat.jsonl#1" in sentence
