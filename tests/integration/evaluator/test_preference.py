"""A run that learnt which of two answers to prefer, judged on held-out pairs by models that really read them."""

import hashlib
import json
import shutil

import numpy as np
import pytest
import torch
from parts.judged_runs import a_promotion, judge

from ropewalk.corpus.document import write_records
from ropewalk.evaluator.adapters.corpus import read_items
from ropewalk.evaluator.adapters.scoring import ScoredModel
from ropewalk.model.chat.encoder import Encoder
from ropewalk.model.chat.renderer import ChatRenderer
from ropewalk.model.weights import load_model
from ropewalk.stages.errors import StageError

from .conftest import a_source, write_model, write_tokenizer

CHOSEN, REJECTED = "return value", "nobody knows what that is, ask another time"
SOURCE = {"path": "/pairs.jsonl", "licence": "MIT", "format": "preferences"}


def asked(number: int) -> list[dict]:
    before = [{"role": "user", "content": "well?"}, {"role": "assistant", "content": "well!", "weight": 0}]
    return [*before, {"role": "user", "content": f"What does step_{number} do?"}]


def answered(number: int, answer: str) -> list[dict]:
    return [*asked(number), {"role": "assistant", "content": answer}]


def a_model(world, name: str, texts: list[list[dict]], num_steps: int) -> None:
    """One that has read conversations."""
    folder = world.root / name
    write_tokenizer(folder, [a_source(number) for number in range(90)])
    encoder, chats = Encoder(folder), ChatRenderer(folder)
    ids = [token for text in texts for token in encoder.prompt(chats.conversation(text)).ids]
    chats.close()
    write_model(folder, np.array(ids * 4, dtype=np.int64), num_steps)


@pytest.fixture(scope="module")
def pairs_world(fixed_parts):
    """A base that says either answer, one that has read the chosen ones since, and one that can speak no more."""
    both = [answered(number, answer) for number in range(25) for answer in (CHOSEN, REJECTED)]
    a_model(fixed_parts, "pairs-base", both, 60)
    a_model(fixed_parts, "preferring", both[::2], 150)
    a_model(fixed_parts, "speechless", both, 60)
    broken = load_model(fixed_parts.root / "speechless")
    with torch.no_grad():  # sure of what is wrong, which a short answer pays for less often
        broken.model.embed_tokens.weight.copy_(broken.model.embed_tokens.weight.roll(7, dims=0) * 20)
    broken.save_pretrained(fixed_parts.root / "speechless")
    content = hashlib.sha256(b"base").hexdigest()
    shutil.copytree(fixed_parts.root / "pairs-base", fixed_parts.root / "imported")
    fixed_parts.objects.publish(fixed_parts.root / "imported", f"bases/{content}", {})
    for name in ("pairs-base", "preferring", "speechless"):
        fixed_parts.objects.publish(fixed_parts.root / name, f"exports/{name}", {})
    (fixed_parts.root / "pairs").mkdir()
    items = [
        {"item_id": f"p{n}", "path": f"p.jsonl#{n}", "split_key": f"k{n % 20}", "rejected": REJECTED}
        | {"messages": answered(n, CHOSEN)}
        for n in range(40)
    ]
    write_records(fixed_parts.root / "pairs" / "items.jsonl.zst", items)
    fixed_parts.objects.publish(fixed_parts.root / "pairs", "evalsets/pairs", {})
    return fixed_parts, f"mini@{content}"


def a_stage(pairs_world, evalset: str = "evalsets/pairs", **more: object):
    world, base = pairs_world
    for key in world.objects.list("evaluations"):
        world.objects.delete(key)
    how = {"mode": "finetune", "base_model": base, "profile": "prose", "evaluation": {"gate": "full"}}
    return world.stage(evalset, sources=[SOURCE], training={"objective": "dpo"}, **how, **more)


async def test_a_model_that_prefers_the_chosen_answers_more_than_its_base_does_is_promoted(pairs_world) -> None:
    completed, decided = await judge(a_stage(pairs_world), "preferring")
    found = {each.metric: each for each in completed.estimates}
    assert decided.decision == "promote"
    assert decided.comparison == found["rewarded_answer_gain"]
    assert decided.reasons[0].startswith(
        "the chosen answer gained more in 100% of the pairs against 50% of the base model (95% interval of the gain "
    )
    assert (decided.comparison.num_items, decided.comparison.num_clusters) == (40, 20)
    assert (found["rewarded_answer"].value, found["base_model_rewarded_answer"].value) == (1.0, 0.5)
    assert found["likelier_answer"].role == found["likelier_answer_gain"].role == "shown"
    assert found["bits_per_byte_gain"].role == "guardrail"
    folder = pairs_world[0].objects.fetch(completed.uri)
    report = json.loads((folder / "report.json").read_text())
    assert {"rewarded_answer", "likelier_answer"} <= set(report["definitions"])


async def test_a_model_that_lost_its_language_is_refused_though_it_prefers_the_chosen_answers(pairs_world) -> None:
    _, decided = await judge(a_stage(pairs_world), "speechless")
    assert decided.comparison.lower > 0
    assert decided.decision == "reject"
    assert "more bits per byte than the base model" in decided.reasons[0]
    assert decided.reasons[0].endswith("; 0.100 would be tolerated")


async def test_a_model_that_prefers_no_more_than_its_base_is_not_promoted(pairs_world) -> None:
    _, decided = await judge(a_stage(pairs_world), "pairs-base")
    assert (decided.decision, decided.comparison.value) == ("need_more", 0.0)


async def test_what_serves_is_to_beat_and_the_language_of_the_base_is_kept_whatever_serves(pairs_world) -> None:
    stage = a_stage(pairs_world)
    stage.bus.messages.append(a_promotion("speechless", 1))
    completed, decided = await judge(stage, "speechless")
    found = {each.metric: each for each in completed.estimates}
    assert decided.baseline == "pycode@1"
    assert found["production_rewarded_answer"].value == found["rewarded_answer"].value
    assert found["bits_per_byte_gain"].value == 0.0
    assert found["bits_per_byte_gain_over_base_model"].role == "guardrail"
    assert any("more bits per byte than the base model" in reason for reason in decided.reasons)
    assert decided.decision == "need_more"


async def test_a_run_whose_held_out_records_are_no_pairs_ends_with_a_sentence(pairs_world) -> None:
    with pytest.raises(StageError, match="no held-out record is a pair of answers that the chat template takes"):
        await judge(a_stage(pairs_world, "evalsets/talk"), "preferring")


@torch.inference_mode()
def test_a_margin_is_the_difference_of_whole_answers_with_the_token_that_ends_them(pairs_world) -> None:
    world, _ = pairs_world
    model = ScoredModel(world.objects.fetch("exports/preferring"))
    (first, *_) = read_items(world.objects.fetch("evalsets/pairs"))
    (margin,) = model.margins([first])
    sums = []
    for answer in (CHOSEN, REJECTED):
        text = "".join(f"<|{turn.role}|>\n{turn.content}<|endoftext|>" for turn in first.turns[:-1])
        before = len(model.tokenizer(f"{text}<|assistant|>\n").input_ids)
        ids = model.tokenizer(f"{text}<|assistant|>\n{answer}<|endoftext|>").input_ids
        logits = model.model(torch.tensor([[0, *ids[:-1]]])).logits[0].log_softmax(-1)
        sums.append(sum(float(logits[at, ids[at]]) for at in range(before, len(ids))))
    assert margin == pytest.approx(sums[0] - sums[1], abs=1e-3)
