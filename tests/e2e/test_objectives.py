"""Preferences, a teacher and inputs without answers, from submit to verdict on the real stack, and over kills."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from parts.small_engines import a_llama, a_tokenizer, an_export

from ropewalk.corpus.shards import TokenShard
from ropewalk.events.base import Message
from ropewalk.events.data import BaseModelAsked, DatasetPublished
from ropewalk.events.evaluation import EvaluationProgressed, EvaluationStarted, GateDecided
from ropewalk.events.run import RunCompleted, StageCompleted

pytestmark = [
    pytest.mark.stack,
    pytest.mark.slow,
    pytest.mark.embedded("the base model is a folder of this machine, and services are killed by their pid"),
]
TEMPLATE = "{% for m in messages %}{{ m.role }}: {{ m.content }}<|endoftext|>{% endfor %}assistant: "


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that answers `1`, less often `x`, and then ends: the next token depends on the last one alone."""
    model, tokenizer = a_llama(), a_tokenizer()
    last, one, other = (tokenizer.encode(text).ids[-1] for text in ("assistant: ", "1", "x"))
    with torch.no_grad():
        for weights in model.model.layers.parameters():
            weights.zero_()
        known = torch.nn.functional.normalize(torch.randn(model.lm_head.weight.shape))
        model.model.embed_tokens.weight.copy_(known)
        model.lm_head.weight.zero_()
        model.lm_head.weight[one], model.lm_head.weight[other] = 1.15 * known[last], known[last]
        model.lm_head.weight[0] = 1.5 * (known[one] + known[other])
    folder = an_export(tmp_path_factory.mktemp("base") / "model", model)
    named = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|endoftext|>", "chat_template": TEMPLATE}
    (folder / "tokenizer_config.json").write_text(json.dumps(named))
    return folder


def written(path: Path, records: list[dict[str, Any]]) -> dict[str, Any]:
    """A source of JSONL records."""
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return {"path": str(path), "licence": "CC0-1.0"}


def a_recipe(name: str, base: Path, *sources: dict[str, Any], **more: Any) -> dict[str, Any]:
    how = {"mode": "finetune", "base_model": str(base), "size": "tiny", "minutes": 0.1, "profile": "prose"}
    return {"name": name, "sources": list(sources), "evaluation": {"gate": "full"}, **how, **more}


def ended_once(stack, run_id: str) -> list[Message]:
    """The facts of a run that came to its end with nothing lost or done twice."""
    stack.until(run_id, RunCompleted)
    timeline = stack.timeline(run_id)
    for kind in (DatasetPublished, GateDecided, RunCompleted):
        assert sum(isinstance(event, kind) for event in timeline) == 1, kind
    stages = [event.stage for event in timeline if isinstance(event, StageCompleted)]
    assert len(stages) == len(set(stages))
    verified = stack.ropewalk("ledger", "verify", run_id)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    return timeline


def num_references(stack, run_id: str) -> int:
    """Tasks of the reference pass that have ended."""
    return sum("/references-" in key for key in stack.objects.list(f"work/{run_id}"))


def test_a_preference_is_learnt_judged_and_promoted_over_a_kill_amid_the_references(stack, base, tmp_path) -> None:
    pairs = written(tmp_path / "p.jsonl", [{"input": f"{n}?", "chosen": "1", "rejected": "x"} for n in range(600)])
    how = {"total_steps": 30, "context_length": 128, "matrix_lr": 0.01, "adam_lr": 0.005}
    recipe = a_recipe("prefer", base, pairs | {"format": "preferences"}, training={"objective": "dpo", **how})
    run_id = stack.submit(recipe, "prefer")
    deadline = time.monotonic() + stack.deadline_s
    while not num_references(stack, run_id):
        assert time.monotonic() < deadline, stack.timeline(run_id)
        time.sleep(0.05)
    stack.kill("preprocessing")
    num_done = num_references(stack, run_id)
    timeline = ended_once(stack, run_id)
    told = [event for event in timeline if isinstance(event, BaseModelAsked)]
    assert told[-1].num_asked == told[-1].num_documents > 32 * num_done  # so it was amid them
    (decided,) = (event for event in timeline if isinstance(event, GateDecided))
    assert decided.decision == "promote"
    assert decided.comparison.metric == "rewarded_answer_gain"


def test_a_student_is_told_by_its_teacher_and_by_own_answers_and_judged_over_a_kill(stack, base, tmp_path) -> None:
    examples = [{"input": f"{n}?", "output": "1"} for n in range(240)]
    inputs = [{"input": f"{n}!"} for n in range(24)]
    sources = [
        written(tmp_path / "e.jsonl", examples) | {"format": "examples"},
        written(tmp_path / "i.jsonl", inputs) | {"format": "inputs"},
    ]
    task = {"instruction": "Say a number. ", "json_schema": {"type": "integer"}, "max_answer_tokens": 4}
    training = {"objective": "distill", "total_steps": 10}
    run_id = stack.submit(a_recipe("told", base, *sources, task=task, training=training), "told")
    stack.until(run_id, EvaluationStarted)
    stack.kill("evaluator")
    timeline = ended_once(stack, run_id)
    purposes = [event.purpose for event in timeline if isinstance(event, BaseModelAsked)]
    assert {*purposes} == {"answers", "references"}
    assert any(isinstance(event, EvaluationProgressed) for event in timeline)
    (dataset,) = (event for event in timeline if isinstance(event, DatasetPublished))
    documents = TokenShard(stack.objects.fetch(dataset.uri)).documents()
    assert any(document.source == "synthetic" for document in documents)
