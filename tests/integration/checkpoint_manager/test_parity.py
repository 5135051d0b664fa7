"""What catches an export that is not what was trained, without any server: real tiny models, damaged on purpose."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from ropewalk.checkpoint_manager.adapters.export import ExportJob, build_export
from ropewalk.checkpoint_manager.adapters.greedy import GreedyJob, GreedyResult, complete_locally
from ropewalk.checkpoint_manager.domain.parity import FIXED_PROMPTS
from ropewalk.model.weights import load_tensors, save_tensors

CHATML = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{{ eos_token }}{% endfor %}<|assistant|>"


@pytest.fixture
def folders(stage, tmp_path: Path) -> Callable[..., GreedyResult]:
    """Compares a sound checkpoint and tokenizer with an export of them that was changed first."""
    checkpoint, tokenizer = stage.objects.fetch("runs/r/checkpoints/7-40"), tmp_path / "with-template"
    shutil.copytree(stage.objects.fetch("tokenizers/t"), tokenizer)
    (tokenizer / "chat_template.jinja").write_text(CHATML)
    out = tmp_path / "export"

    def compared(change: Callable[[Path], None] = lambda folder: None) -> GreedyResult:
        build_export(ExportJob(checkpoint=checkpoint, tokenizer=tokenizer, out=out), lambda _: None)
        change(out)
        job = GreedyJob(checkpoint=checkpoint, tokenizer=tokenizer, export=out, prompts=FIXED_PROMPTS[:2])
        return complete_locally(job, lambda _: None)

    return compared


def changed(file: str, edit: Callable[[dict], None]) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        content = json.loads((folder / file).read_text())
        edit(content)
        (folder / file).write_text(json.dumps(content))

    return change


def transpose(folder: Path) -> None:
    """A square matrix the other way round: the shapes fit, and so it loads without a word."""
    weights = load_tensors(folder / "model.safetensors")
    name = "model.layers.0.self_attn.q_proj.weight"
    weights[name] = weights[name].T
    save_tensors(weights, folder / "model.safetensors")


def begin_with_bos(folder: Path) -> None:
    """The tokenizer puts a BOS before every text, as many do and ours did not."""
    changed("tokenizer_config.json", lambda config: config.update(bos_token="<|user|>"))(folder)
    bos = {"SpecialToken": {"id": "<|user|>", "type_id": 0}}
    text = {"Sequence": {"id": "A", "type_id": 0}}
    template = {
        "type": "TemplateProcessing",
        "single": [bos, text],
        "pair": [bos, text],
        "special_tokens": {"<|user|>": {"id": "<|user|>", "ids": [1], "tokens": ["<|user|>"]}},
    }
    changed("tokenizer.json", lambda file: file.update(post_processor=template))(folder)


def change_template(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text(CHATML.replace("{{ eos_token }}", ""))


def drop_merges(folder: Path) -> None:
    changed("tokenizer.json", lambda file: file["model"].update(merges=file["model"]["merges"][:5]))(folder)


def test_a_sound_export_reads_and_scores_as_the_trainer_does(folders) -> None:
    found = folders()
    assert (found.differences, found.dtype, found.bound) == ((), "F32", 1e-4)
    assert found.shift <= 1e-5
    assert [each.token_ids for each in found.trainer] == [each.token_ids for each in found.export]
    assert all(each.logprob_mean < 0 for each in found.trainer)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (transpose, "export differs from trainer at prompt 1, token 3: its log-probability is "),
        (
            begin_with_bos,
            "export reads fixed prompt 1 with what transformers adds otherwise than trainer at token 1: 1",
        ),
        (
            changed("tokenizer_config.json", lambda config: config.update(bos_token="<|user|>")),
            "export reads the ids of bos, eos, pad, unk otherwise than trainer at token 1: 1 instead of None",
        ),
        (
            changed("generation_config.json", lambda config: config.update(eos_token_id=2)),
            "export reads the ids of eos, eos and bos in its configuration otherwise than trainer at token 1: 2",
        ),
        (change_template, "export reads chat 1 otherwise than trainer at token "),
        (drop_merges, "export reads fixed prompt "),
    ],
)
def test_what_was_swapped_in_an_export_is_named_with_the_first_place(folders, change, sentence: str) -> None:
    differences = folders(change).differences
    assert differences
    assert differences[0].startswith(sentence), differences


def test_weights_of_another_type_are_held_to_the_bound_of_that_type(folders) -> None:
    def to_bf16(folder: Path) -> None:
        weights = load_tensors(folder / "model.safetensors")
        save_tensors({name: each.to(torch.bfloat16) for name, each in weights.items()}, folder / "model.safetensors")

    found = folders(to_bf16)
    assert (found.dtype, found.bound) == ("BF16", 0.1)
    assert found.shift > 1e-4
