"""Do our figures of task sets equal those of lm-evaluation-harness on the same model?

    python benchmarks/evaluation/lm_eval_parity.py --out benchmarks/results/evaluation_lm_eval_parity.json

Needs the extra `lm-eval`; asks no network. A tiny model with fixed weights is asked the same items four times: by our
task sets, by the harness through `CheckpointLM`, and by the harness's own `HFLM`, which shares no line with us, in
float64, where sums in another order differ by 1e-12; and by the first two in float32, as a gate asks.
"""

import argparse
import json
import math
import os
import random
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).parents[1]))
from machine import describe

from ropewalk.evaluator.adapters.measuring import SetToAsk
from ropewalk.evaluator.adapters.scoring import ScoredModel
from ropewalk.evaluator.adapters.set_measuring import ask_sets
from ropewalk.evaluator.adapters.task_measuring import Patience
from ropewalk.evaluator.domain.metric import CANDIDATE
from ropewalk.statistics.intervals import LEVEL
from ropewalk.tasksets.definition import JUDGED_FIELDS, DataFile, TaskSetFile
from ropewalk.tasksets.items import read_items
from ropewalk.tasksets.shelf import DEFINITION, ITEMS, ReadTaskSet

BOUND = 1e-9
WORDS = [
    "the",
    "a",
    "small",
    "old",
    "grey",
    "heron",
    "tower",
    "keeper",
    "counts",
    "ships",
    "gulls",
    "before",
    "noon",
    "and",
    "writes",
    "every",
    "number",
    "into",
    "her",
    "book",
]
COMMON = {"version": 1, "use_case": "parity", "licence": "CC0-1.0", "cluster_key": "group"}
SPLITS = {"dev": 1.0, "calibration": 0.0, "gate": 0.0}
DATA = DataFile(file=ITEMS, sha256="0" * 64)


def sentence(chooser: random.Random, length: int) -> str:
    return " ".join(chooser.choice(WORDS) for _ in range(length))


def make(folder: Path) -> None:
    """A model and a tokenizer in `model`, and three task sets beside it: the same bytes every time."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    from ropewalk.model.architecture import Shape, build_model

    chooser = random.Random(7)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=384, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([sentence(chooser, 50) for _ in range(50)], trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>", pad_token="<|endoftext|>")
    fast.save_pretrained(folder / "model")
    shape = Shape(
        vocab_size=384,
        hidden_size=32,
        num_layers=2,
        num_heads=2,
        num_kv_heads=1,
        head_dim=16,
        intermediate_size=64,
        context_length=128,
    )
    model = build_model(shape, seed=3)
    # Weights that nobody trained, but larger, so that no two choices are as good as equal.
    with torch.no_grad():
        for weights in model.parameters():
            weights.mul_(4.0 if weights.dim() > 1 else 1.0)
    model.save_pretrained(folder / "model")

    def goes_on(prompt: str) -> str:
        ids = fast(prompt, return_tensors="pt").input_ids
        said = model.double().generate(ids, max_new_tokens=8, do_sample=False, pad_token_id=0)[0, ids.shape[1] :]
        return str(fast.decode(said, skip_special_tokens=True)).partition("\n")[0]

    for definition, items in task_sets(chooser):
        for item in items[::2] if definition.type == "generate" else ():
            item["answer"] = [goes_on(item["question"]) or "nothing"]  # else no answer would be right
        place = folder / definition.id
        place.mkdir()
        (place / DEFINITION).write_text(definition.model_dump_json(exclude=set(JUDGED_FIELDS)))
        (place / ITEMS).write_text("".join(json.dumps(item) + "\n" for item in items))


def task_sets(chooser: random.Random) -> list[tuple[TaskSetFile, list[dict[str, Any]]]]:
    """Multiple choice with choices of different lengths, texts to read (none beyond the context), texts to write."""
    choosing = [
        {
            "question": sentence(chooser, chooser.randint(3, 20)) + chooser.choice(["", " "]),
            "choices": [f"{sentence(chooser, length)} {length}" for length in chooser.sample(range(1, 9), 4)],
            "answer": chooser.randrange(4),
            "group": f"g{number // 2}",
        }
        for number in range(48)
    ]
    reading = [
        {"text": sentence(chooser, chooser.randint(5, 25)).replace("gulls", "mövén"), "group": f"g{n}"}
        for n in range(24)
    ]
    writing = [
        {"question": sentence(chooser, 8), "answer": [sentence(chooser, 2)], "group": f"g{n}"} for n in range(24)
    ]
    given = ({**COMMON, "data": DATA, "splits": SPLITS, "id": each, "type": kind} for each, kind in
             (("choosing", "mc"), ("reading", "rolling"), ("writing", "generate")))  # fmt: skip
    found = [TaskSetFile.model_validate({**fields, "max_tokens": 8}) for fields in given]
    return list(zip(found, (choosing, reading, writing), strict=True))


def scored(folder: Path, *, double: bool) -> ScoredModel:
    model = ScoredModel(folder / "model")
    model.model = model.model.double() if double else model.model
    return model


def native(folder: Path, *, double: bool) -> dict[str, float]:
    """Our figures, by `<task set>/<metric>`."""
    sets = [
        SetToAsk(folder=folder / name, dataset_version="", blocked=None) for name in ("choosing", "reading", "writing")
    ]
    asked = ask_sets(sets, {CANDIDATE: scored(folder, double=double)}, 1, Patience(10)).asked
    return {
        each.metric.name.replace("@1", ""): each.metric.level(
            each.values(CANDIDATE), each.rows, 1, LEVEL
        ).interval.value
        for each in asked
    }


def harness_tasks(folder: Path) -> Path:
    """The task sets as YAML of the harness, in a folder."""
    place = folder / "harness"
    place.mkdir(exist_ok=True)
    for name in ("choosing", "reading", "writing"):
        raw = (folder / name / DEFINITION).read_bytes()
        found = ReadTaskSet(
            definition=TaskSetFile.model_validate_json(raw),
            items=read_items((folder / name / ITEMS).read_bytes(), TaskSetFile.model_validate_json(raw), name),
            body=b"",
        )
        rows = [{**each.fields, "choices": list(each.choices), "gold": each.answer, "right": list(each.right)}
                for each in found.used()]  # fmt: skip
        (place / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (place / f"{name}.yaml").write_text(yaml.safe_dump(_harness_task(name, place / f"{name}.jsonl")))
    return place


def _harness_task(name: str, data: Path) -> dict[str, Any]:
    of_type: dict[str, dict[str, Any]] = {
        "choosing": {
            "output_type": "multiple_choice",
            "doc_to_text": "{{question}}",
            "doc_to_choice": "choices",
            "doc_to_target": "gold",
            "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}],
        },
        "reading": {
            "output_type": "loglikelihood_rolling",
            "doc_to_text": "",
            "doc_to_target": "{{text}}",
            "metric_list": [{"metric": each} for each in ("bits_per_byte", "byte_perplexity", "word_perplexity")],
        },
        "writing": {
            "output_type": "generate_until",
            "doc_to_text": "{{question}}",
            "doc_to_target": "{{right[0]}}",
            "generation_kwargs": {"until": ["\n"], "max_gen_toks": 8, "do_sample": False},
            "metric_list": [{"metric": "exact_match"}],
        },
    }
    common = {"task": name, "dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(data)}}}
    return {**common, "test_split": "test", "num_fewshot": 0, "metadata": {"version": 1}, **of_type[name]}


def by_harness(folder: Path, make_lm: Callable[[Path], Any]) -> dict[str, float]:
    """The harness's figures, by `<task>/<metric>`."""
    os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1")
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    tasks = TaskManager(include_path=str(harness_tasks(folder)), include_defaults=False)
    found = simple_evaluate(
        model=make_lm(folder), tasks=["choosing", "reading", "writing"], task_manager=tasks, bootstrap_iters=0
    )
    return {
        f"{task}/{key.partition(',')[0]}": value
        for task, figures in found["results"].items()
        for key, value in figures.items()
        if isinstance(value, float) and "stderr" not in key
    }


def checkpoint_lm(folder: Path, *, double: bool) -> Any:
    from ropewalk.evaluator.adapters.checkpoint_lm import CheckpointLM

    return CheckpointLM(scored(folder, double=double))


def hflm(folder: Path) -> Any:
    import torch
    from lm_eval.models.huggingface import HFLM
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float64)
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    return HFLM(pretrained=model, tokenizer=tokenizer, batch_size=16, max_length=128, softmax_dtype="float64")


def furthest(ours: dict[str, float], theirs: dict[str, float]) -> float:
    """The largest relative difference of a figure that both have; infinite where one is missing."""
    if ours.keys() - theirs.keys():
        return math.inf
    return max(abs(value - theirs[name]) / max(1.0, abs(value)) for name, value in ours.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        make(folder)
        ours = {"float64": native(folder, double=True), "float32": native(folder, double=False)}
        theirs = {
            "CheckpointLM, float64": by_harness(folder, lambda place: checkpoint_lm(place, double=True)),
            "CheckpointLM, float32": by_harness(folder, lambda place: checkpoint_lm(place, double=False)),
            "HFLM, float64": by_harness(folder, hflm),
        }
    differences = {name: furthest(ours[name.rpartition(", ")[2]], found) for name, found in theirs.items()}
    from importlib.metadata import version

    record = {
        "lm_eval": version("lm_eval"),
        "bound": BOUND,
        "ours": ours,
        "lm_eval_figures": theirs,
        "largest_difference": differences,
        "met": max(differences.values()) <= BOUND,
        "machine": describe(),
    }
    text = json.dumps(record, indent=1) + "\n"
    print(text)
    if options.out:
        options.out.write_text(text)
    sys.exit(0 if record["met"] else 1)


if __name__ == "__main__":
    main()
