"""What the trainer's own loop makes of one GPU, in under 8 minutes: `make gpu-check`.

    python benchmarks/training_gpu.py --out gpu-check                    # on a machine with a GPU
    python benchmarks/training_gpu.py --device cpu --size tiny           # the same script, to try it out

Every section is a process of its own with a limit in seconds, and its result is in --out/training_gpu.json before
the next begins, so that a lease that ends early loses nothing. Sections that no longer fit into --seconds are left out.

MFU is nanochat's count: tokens/s x (6 x (weights - input embedding) + 12 x layers x heads x head size x context),
over 989e12, the dense bf16 rate in NVIDIA's data sheet of the H100 SXM. The rate of a real product is beside it.
"""

import argparse
import json
import multiprocessing
import os
import shutil
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any, Literal

os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"  # asking for GPUs must not begin to use one before the fork

import torch
from parts.gpu_sections import SECTIONS, Bench

_LEAST_S = 20.0


def main() -> None:
    """Run the sections in turn and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--size", default="full", choices=["full", "tiny"])
    parser.add_argument("--out", type=Path, default=Path("gpu-check"))
    parser.add_argument("--seconds", type=float, default=440.0, help="begin no section that may end later")
    parser.add_argument("--only", default="", help="names of sections, joined by commas")
    parser.add_argument("--begun", type=Path, help="folder with what the section learning-cpu left, made elsewhere")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        print(json.dumps({"left_out": "this machine has no GPU"}))
        return
    options.out.mkdir(parents=True, exist_ok=True)
    names = options.only.split(",") if options.only else list(SECTIONS)
    method: Literal["fork", "spawn"] = "fork"  # the libraries are imported once
    began = time.monotonic()
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        if options.begun:
            shutil.copytree(options.begun, scratch, dirs_exist_ok=True)
        bench = Bench(device=options.device, tiny=options.size == "tiny", root=Path(scratch))
        for name in names:
            limit_s = SECTIONS[name][1]
            left_s = options.seconds - (time.monotonic() - began)
            if left_s < min(limit_s / 2, _LEAST_S):
                results[name] = {"left_out": f"{left_s:.0f} s were left"}
                continue
            results[name] = _in_process(method, name, bench, min(limit_s, left_s))
            if name == names[0] and "error" in results[name]:  # some import has touched the GPU
                method = "spawn"
                results[name] = {"forked": results[name], **_in_process(method, name, bench, limit_s)}
            results["seconds"] = round(time.monotonic() - began, 1)
            (options.out / "training_gpu.json").write_text(json.dumps(results, indent=1))
            print(json.dumps({name: _short(results[name])}), flush=True)
    print(json.dumps({"seconds": results.get("seconds", 0.0)}))


def _in_process(method: Literal["fork", "spawn"], name: str, bench: Bench, limit_s: float) -> dict[str, Any]:
    """What a section found, or why it found nothing."""
    context = multiprocessing.get_context(method)
    inbox, outbox = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(name, bench, outbox))  # type: ignore[attr-defined]
    began = time.monotonic()
    process.start()
    outbox.close()
    try:
        found: dict[str, Any] = inbox.recv() if inbox.poll(limit_s) else {"error": f"not done after {limit_s:.0f} s"}
    except EOFError:
        found = {"error": "the process died"}
    process.join(2)
    process.kill()
    process.join()
    return {**found, "section_s": round(time.monotonic() - began, 1)}


def _run(name: str, bench: Bench, outbox: Any) -> None:
    try:
        outbox.send(SECTIONS[name][0](bench))
    except Exception:  # noqa: BLE001  one section's end must not be another's
        outbox.send({"error": traceback.format_exc()[-3000:]})


def _short(result: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in result.items() if not isinstance(value, list | dict)}


if __name__ == "__main__":
    main()
