"""Task sets are asked of the candidate and of what it must beat, and decide where they are told to."""

import json
from typing import Any

import pytest
import torch
from parts.judged_runs import Sets

from ropewalk.corpus.document import ChatMessage
from ropewalk.evaluator.adapters import set_measuring
from ropewalk.evaluator.adapters.corpus import fit_baselines
from ropewalk.evaluator.adapters.measuring import NgramScorer
from ropewalk.evaluator.adapters.sandbox import Sandbox
from ropewalk.evaluator.adapters.scoring import ScoredModel
from ropewalk.evaluator.adapters.tested_programs import program
from ropewalk.evaluator.domain.tasks import Item
from ropewalk.stages.errors import StageError

MC = {
    "templates": ["{question}", "import os\n\n\n{question}", "# {question}"],
    "splits": {"dev": 1.0, "calibration": 0.0, "gate": 0.0},
}
SEALED = {"splits": {"dev": 0.0, "calibration": 0.0, "gate": 1.0}}


def choices_of(n: int) -> dict[str, Any]:
    """Of a line that the model has learnt, and others."""
    right = f"value + {n % 3}"
    wrong = [f"value + {digit}" for digit in "345678934"[n % 7 :][:2]]
    at = n % 3
    return {
        "question": f"def step_{n % 5}(value):  # {n}\n    return",
        "choices": [*wrong[:at], right, *wrong[at:]],
        "answer": at,
        "group": f"g{n % 20}",
    }


MC_ITEMS = [choices_of(n) for n in range(40)]
TEXTS = [{"text": f"def step_{n % 5}(value):\n    return value + {n}\n\n\n" * 2, "group": f"g{n}"} for n in range(24)]
SAID = [{"question": f"def step_{n}(value):\n    return value +", "answer": ["0", "1", "2"], "group": f"g{n}"}
        for n in range(24)]  # fmt: skip
# The model adds 0, 1 or 2 to a value; half of the tests want the one that it adds.
CODE = [{"question": f"def step_{n % 5}(value):  # {n}\n    return value +", "group": f"g{n}",
         "tests": f"assert 7 <= step_{n % 5}(7) <= 9" + (" - 90" if n % 2 else "")} for n in range(24)]  # fmt: skip
ASKED = (ChatMessage(role="user", content="f?"),)
RECORDS = [{"question": f"What is {n}?", "answer": {"n": n}, "group": f"g{n}"} for n in range(24)]


@pytest.fixture
def sets(world, tmp_path) -> Sets:
    return Sets(world, tmp_path)


def alone(model: ScoredModel, context: str, said: str) -> float:
    """The log-likelihood of one continuation, by transformers and nothing of ours."""
    whole = model.tokenizer(context + said, return_tensors="pt").input_ids
    start = len(model.tokenizer(context).input_ids)
    logits = model.model(whole[:, :-1]).logits[0].double().log_softmax(-1)
    return sum(float(logits[at - 1, token]) for at, token in enumerate(whole[0].tolist()) if at >= start)


@torch.inference_mode()
def test_choices_are_as_likely_as_transformers_says_of_each_alone(world) -> None:
    model = ScoredModel(world.objects.fetch("exports/trained"))
    model.model = model.model.double()
    texts = ["def step_1(value):\n    return", "x = 1 + 2 * 3\n" * 3 + "import"]
    items = [Item(text, "p", text=text, choices=(" value + 1", " os", " value")) for text in texts]
    found = model.likelihoods(items)
    wanted = [[alone(model, item.text, choice) for choice in item.choices] for item in items]
    for mine, theirs in zip(found, wanted, strict=True):
        assert mine == pytest.approx(theirs, rel=1e-9)


def test_a_choice_behind_white_space_nothing_or_more_than_the_context_is_scored(world) -> None:
    model = ScoredModel(world.objects.fetch("exports/trained"))
    assert model.split("return ", "value") == model.split("return", " value")
    assert model.split("", "value")[0] == [model.eos_id]
    _, said = model.split("x" * 3, "")
    assert len(said) == 1
    long = Item("long", "p", text="value + 1\n" * 200, choices=(" value", " def"))
    short = Item("short", "p", text="value", choices=(" value", " def"))
    assert all(nats < 0 for each in model.likelihoods([long, short]) for nats in each)
    ngram = NgramScorer(fit_baselines(world.objects.fetch("datasets/v"), model.vocab_size)[0], 3, model)
    assert ngram.likelihoods([short])[0][0] > ngram.likelihoods([short])[0][1]


async def test_every_type_is_measured_and_shown_with_its_clusters_and_spread(sets: Sets) -> None:
    sets.add("choosing", MC_ITEMS, **MC)
    sets.add("reading", TEXTS, type="rolling")
    sets.add("writing", SAID, type="generate", max_tokens=4, metrics=["exact_match", "sentence_chrf", "rouge_l"])
    schema = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}
    sets.add("recording", RECORDS, type="schema", json_schema=schema, max_tokens=8, ask="chat")
    completed, decided, report = await sets.judge("trained", production="barely")
    assert decided.decision == "promote"
    found = {each.metric: each for each in completed.estimates if each.task_set}
    acc = found["choosing@1/acc"]
    assert (acc.value, acc.num_items, acc.num_clusters, acc.role) == (1.0, 40, 20, "shown")
    assert 0 < acc.num_effective <= 40
    assert acc.task_set == "choosing@1"
    assert "choosing" in acc.quantity
    assert {"choosing@1/acc_gain", "production_choosing@1/acc", "choosing@1/acc_norm_gain"} <= set(found)
    bits = found["reading@1/bits_per_byte"]
    assert found["reading@1/byte_perplexity"].value == pytest.approx(2**bits.value)
    num_bytes, num_words = (
        sum(measure(row["text"]) for row in TEXTS) for measure in (len, lambda t: len(t.split()) + 1)
    )
    per_word = bits.value * num_bytes / num_words
    assert found["reading@1/word_perplexity"].value == pytest.approx(2**per_word)
    assert bits.num_effective <= 24
    assert "reading@1/byte_perplexity_gain" not in found
    assert found["writing@1/exact_match"].value == found["writing@1/rouge_l"].value == 1.0
    assert (found["writing@1/sentence_chrf"].value, found["writing@1/sentence_chrf"].role) == (100.0, "shown")
    assert found["recording@1/schema_validity"].value == 0.0
    choosing = next(each for each in report["task_sets"] if each["task_set"] == "choosing@1")
    assert len(choosing["spread"]["acc"]) == 3
    assert choosing["num_spread"] == 20
    assert (choosing["num_dropped"], choosing["scanned"]) == (2, "v")


async def test_a_task_set_that_decides_stops_a_promotion_in_which_it_gets_worse(sets: Sets) -> None:
    name = sets.add("choosing", MC_ITEMS, **SEALED, gate={"acc": {"role": "primary", "margin": 0.1}})
    completed, decided, _ = await sets.judge("untrained", production="trained")
    assert decided.decision == "reject", decided.reasons
    assert decided.comparison.metric == f"{name}/acc_gain"
    assert "right choices (choosing@1)" in decided.reasons[0] or "right choices (choosing@1)" in decided.reasons[1]
    (bits,) = (each for each in completed.estimates if each.metric == "bits_per_byte_gain")
    assert bits.role == "guardrail"
    assert any("more bits per byte" in reason for reason in decided.reasons)


async def test_a_guardrail_lets_pass_what_loses_less_than_its_margin(sets: Sets) -> None:
    sets.add("choosing", MC_ITEMS, **SEALED, gate={"acc": {"role": "guardrail", "margin": 0.2}})
    _, decided, report = await sets.judge("longer", production="trained")
    assert decided.decision == "promote"
    folder = sets.world.objects.fetch(decided.evaluation_uri)
    rows = [json.loads(line) for line in (folder / "scores.jsonl").read_text().splitlines()]
    mine = [row for row in rows if row["tasks"] == "items of choosing@1"]
    assert len(mine) == 80
    assert {row["prompt_end"] for row in mine} == {""}
    assert report["task_sets"][0]["split"] == "gate"


@pytest.mark.parametrize(("name", "most", "items", "fields"), [
    ("MOST_BYTES", 4_000, MC_ITEMS, {"gate": {"acc": {"role": "primary", "margin": 0.9}}}),
    ("MOST_ANSWERS", 20, SAID, {"type": "generate", "max_tokens": 4,
                                "gate": {"exact_match": {"role": "primary", "margin": 0.9}}}),
])  # fmt: skip
async def test_another_look_asks_more_items_of_what_decides_until_none_is_left(
    sets: Sets, monkeypatch: pytest.MonkeyPatch, name: str, most: int, items: list[dict[str, Any]], fields: Any
) -> None:
    monkeypatch.setattr(set_measuring, name, most)
    sets.add("asked", items, **SEALED, **fields)
    found = [await sets.judge("longer", production="trained", look=look) for look in (1, 2)]
    (before, after) = [decided for _, decided, _ in found]
    assert 20 <= before.comparison.num_items < after.comparison.num_items
    assert [each.comparison.num_items + each.num_left for each in (before, after)] == [len(items), len(items)]


async def test_what_decides_and_was_not_kept_from_training_needs_another_run(sets: Sets) -> None:
    sets.add("choosing", MC_ITEMS, **SEALED, gate={"acc": {"role": "guardrail", "margin": 0.2}})
    _, decided, report = await sets.judge("longer", production="trained", is_blocked=False)
    assert decided.decision == "need_more"
    assert decided.reasons[0] == (
        "choosing@1 decides, and nothing kept its items from training: submit the run again, now that it is frozen"
    )
    assert (report["task_sets"][0]["num_dropped"], report["task_sets"][0]["scanned"]) == (-1, "")


async def test_what_an_n_gram_cannot_be_asked_is_shown_and_does_not_decide(sets: Sets) -> None:
    sets.add("writing", SAID, type="generate", max_tokens=4, **SEALED,
             gate={"exact_match": {"role": "guardrail", "margin": 0.1}})  # fmt: skip
    completed, decided, _ = await sets.judge("trained")
    assert decided.decision == "promote"
    assert any("writing@1 would decide, but what is to beat cannot be asked it" in each for each in decided.reasons)
    assert [each.role for each in completed.estimates if each.task_set] == ["shown"]


async def test_a_task_set_that_is_not_frozen_ends_the_evaluation(sets: Sets) -> None:
    sets.add("choosing", MC_ITEMS)
    sets.facts[0] = sets.facts[0].model_copy(update={"version": 2})
    with pytest.raises(StageError, match="task set choosing@1 is not frozen"):
        await sets.judge("trained")


async def test_programs_are_run_with_their_tests_where_they_can_be_kept_apart(sets: Sets) -> None:
    if fault := Sandbox().fault:
        pytest.skip(fault)
    sets.add("programs", CODE, type="code", max_tokens=4, until=["\n"], templates=["{question}"], min_items=20,
             splits={"dev": 1.0, "calibration": 0.0, "gate": 0.0})  # fmt: skip
    completed, _, report = await sets.judge("trained", production="barely")
    found = {each.metric: each for each in completed.estimates if each.task_set}
    assert found["programs@1/pass_at_1"].value == 0.5
    assert found["programs@1/pass_at_1_gain"].value >= 0
    assert "pass@1" in report["task_sets"][0]["definitions"]["pass_at_1"]


async def test_a_machine_that_cannot_keep_programs_apart_runs_none_and_says_so(sets: Sets, monkeypatch) -> None:
    monkeypatch.setattr(Sandbox, "passes", lambda *_: False)
    sets.add("programs", CODE, type="code", **SEALED, gate={"pass_at_1": {"role": "primary"}})
    _, decided, _ = await sets.judge("trained", production="barely")
    assert decided.decision == "need_more"
    assert "programs@1 was not asked: programs cannot be kept apart on this machine" in decided.reasons[0]


@pytest.mark.parametrize(("item", "answer", "wanted"), [
    (Item("i", "p", text="def f():\n    return", reference="assert f() == 1"), " 1",
     "def f():\n    return 1\n\nassert f() == 1\n"),
    (Item("i", "p", turns=ASKED, reference="f()"), "So:\n```python\nf = 1\n```\nDone",
     "f = 1\n\nf()\n"),
    (Item("i", "p", turns=ASKED, reference="f()"), "f = 1", "f = 1\n\nf()\n"),
])  # fmt: skip
def test_a_program_is_prompt_answer_and_tests_or_the_code_of_a_chat(item: Item, answer: str, wanted: str) -> None:
    assert program(item, answer) == wanted
