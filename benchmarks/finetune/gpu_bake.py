"""The specialist's demo on one GPU, below Ray and below the bus: how long, and is it as good as on a CPU?

    python benchmarks/finetune/gpu_bake.py --model FILE.gguf --task FOLDER --out gpu-bake            # with a GPU
    python benchmarks/finetune/gpu_bake.py --model FOLDER --device cpu --tiny --out /tmp/gpu-bake   # to try it out

FOLDER of --task is what `ropewalk demo specialist` leaves (without it, it is made of this interpreter's library).
Every section is a process of its own, in the order of importance, and its result is written before the next begins.
`section_s` is the whole life of the process, imports of torch included. In the record's `bake_s` are: reading,
cleaning, splitting, packing, training with looks and checkpoints, export, and the evaluation of the candidate and of
three ways to ask the base. Not in it: the import of the base (`import`, once for each store, here without its
certificate), queue, Ray, broker, deployment. The evaluator's process is told to use the card, which the service does
not do. `optimizers` trains all weights and tells the loss on the held-out answers: see docs/finetune.md.
"""

import argparse
import json
import multiprocessing
import os
import platform
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from parts.baking import Bake, held_out_loss, imported, judge, prepare, train

_SPAWN = multiprocessing.get_context("spawn")
_EVERY = 10
_CASES: list[tuple[str, float, float, int]] = [  # optimizer, rate of matrices (Muon), of the rest, steps
    ("muon", 1e-3, 5e-4, 9),  # at the time of 40 of AdamW's on a CPU, by the formula of the quote
    *(("adamw", 1e-3, rate, 40) for rate in (1e-4, 2e-4, 5e-5, 5e-4)),
    *(("muon", matrices, rest, 40) for matrices, rest in ((1e-3, 5e-4), (1e-3, 1e-4), (3e-4, 1e-4))),
]
Section = Callable[[Bake, Callable[[Any], None]], Any]


def _train(bake: Bake, say: Callable[[Any], None], *, name: str, **changes: Any) -> None:
    say(train(bake, name, bake.recipe(**changes)))


def _judge(bake: Bake, say: Callable[[Any], None], *, name: str, on_card: bool, opponents: bool = True) -> None:
    say(judge(bake, name, "cuda" if on_card and bake.device == "cuda" else "cpu", opponents=opponents))


def _optimizers(bake: Bake, say: Callable[[Any], None], *, cases: list[tuple[str, float, float, int]]) -> None:
    found: list[dict[str, Any]] = []
    for optimizer, matrix_lr, adam_lr, steps in cases[:2] if bake.tiny else cases:
        for seed in (0, 1):
            figures = {"optimizer": optimizer, "matrix_lr": matrix_lr, "adam_lr": adam_lr, "total_steps": steps}
            recipe = bake.recipe(seed=seed, adapter="full", compile=False, **figures)
            found.append({**figures, "seed": seed, **held_out_loss(bake, recipe, _EVERY)})
            say({"cases": found})


SECTIONS: dict[str, tuple[Section, float]] = {  # what to do, seconds at most
    "import": (lambda bake, say: say(imported(bake)), 90),
    "prepare": (lambda bake, say: say(prepare(bake)), 60),
    "train": (partial(_train, name="train", compile=False), 120),
    "judge": (partial(_judge, name="train", on_card=True), 120),
    "train-compiled": (partial(_train, name="compiled", compile=True), 120),
    "optimizers": (partial(_optimizers, cases=_CASES), 200),
    "full-adamw": (partial(_train, name="adamw", adapter="full", optimizer="adamw", adam_lr=1e-4, compile=False), 70),
    "judge-adamw": (partial(_judge, name="adamw", on_card=True, opponents=False), 60),
    "judge-on-cpu": (partial(_judge, name="train", on_card=False), 150),
}
_OF_A_BAKE = ("prepare", "train", "judge")


def main() -> None:
    """Run the sections in turn; prints what each found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="a GGUF file or a Hugging Face folder")
    parser.add_argument("--task", type=Path, help="a folder with examples.jsonl")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--tiny", action="store_true", help="two blocks of the model, four steps")
    parser.add_argument("--out", type=Path, default=Path("gpu-bake"))
    parser.add_argument("--seconds", type=float, default=390.0, help="begin no section when so many are over")
    parser.add_argument("--only", default="", help="names of sections, joined by commas")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    began, results = time.monotonic(), dict[str, Any](machine=_machine(options.device))
    with tempfile.TemporaryDirectory(prefix="ropewalk-bake-") as name:
        task = options.task.resolve() if options.task else _task(Path(name, "task"), tiny=options.tiny)
        model = options.model.resolve()
        bake = Bake(root=Path(name), model=model, task=task, device=options.device, tiny=options.tiny)
        for section in options.only.split(",") if options.only else SECTIONS:
            left_s = options.seconds - (time.monotonic() - began)
            results[section] = _in_process(section, bake, left_s)
            results["bake_s"] = {each: results[each]["section_s"] for each in _OF_A_BAKE if each in results}
            results["bake_sum_s"] = round(sum(results["bake_s"].values()), 1)
            results["seconds"] = round(time.monotonic() - began, 1)
            (options.out / "finetune_gpu_bake.json").write_text(json.dumps(results, indent=1) + "\n")
            print(json.dumps({section: results[section]})[:1500], flush=True)


def _machine(device: str) -> dict[str, Any]:
    """What `machine.describe` leaves out, and without the packages that a machine with a card alone does not have."""
    ask = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    card = subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip() if device == "cuda" else ""
    versions = {name: version(name) for name in ("torch", "transformers", "peft", "numpy")}
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "card": card,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": versions,
    }


def _task(folder: Path, *, tiny: bool) -> Path:
    from ropewalk.demo.specialist.task import write_folder

    write_folder(folder)
    examples = folder / "examples.jsonl"
    if tiny:
        examples.write_text("".join(examples.read_text().splitlines(keepends=True)[:120]))
    return folder


def _in_process(section: str, bake: Bake, left_s: float) -> dict[str, Any]:
    """The last that a section said, or why it said nothing."""
    limit_s = min(SECTIONS[section][1], left_s)
    if limit_s < SECTIONS[section][1] / 4:
        return {"left_out": f"{left_s:.0f} s were left", "section_s": 0.0}
    inbox, outbox = _SPAWN.Pipe(duplex=False)
    process, began = _SPAWN.Process(target=_run, args=(section, bake, outbox)), time.monotonic()
    process.start()
    outbox.close()
    found: dict[str, Any] = {}
    try:
        while inbox.poll(max(0.0, limit_s - (time.monotonic() - began))):
            found = inbox.recv()
        found = {**found, "cut_off": f"after {limit_s:.0f} s"}
    except EOFError:
        found = found or {"error": "the process died"}
    process.join(5 if "cut_off" not in found else 0)
    process.kill()
    process.join()
    return {**found, "section_s": round(time.monotonic() - began, 2)}


def _run(section: str, bake: Bake, outbox: Any) -> None:
    try:
        SECTIONS[section][0](bake, outbox.send)
    except Exception:  # noqa: BLE001  one section's end must not be another's
        outbox.send({"error": traceback.format_exc()[-3000:]})


if __name__ == "__main__":
    main()
