"""Memory of 1, 2 and 4 engine processes: adapters on one mapped base against merged copies. Prints JSON.

    python benchmarks/finetune/adapters_memory.py BASE [--rank 8]

Adapters are random; each process answers 16 tokens before it is looked at. PSS counts shared pages once over all.
"""

import argparse
import json
import multiprocessing
import sys
import tempfile
from multiprocessing.connection import Connection
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from machine import describe

from ropewalk.model.engine import Engine
from ropewalk.model.engine_sampling import Sampling
from ropewalk.model.lora import add_adapters, lora_config, merged, save_adapter
from ropewalk.model.weights import load_model, save_weights


def an_export(base: Path, folder: Path, rank: int, seed: int) -> None:
    config = lora_config(rank, 2 * rank)
    model = add_adapters(load_model(base), config, seed)
    weights = {name: tensor for name, tensor in model.state_dict().items() if name != "lm_head.weight"}
    folder.mkdir()
    save_adapter(weights, config, folder)
    save_weights(merged(weights, config), model.config, folder)
    for name in ("tokenizer.json", "generation_config.json", "tokenizer_config.json"):
        (folder / name).write_bytes((base / name).read_bytes())


def serve(export: Path, base: Path | None, pipe: Connection) -> None:
    torch.set_num_threads(1)
    engine, done = Engine(export, base=base), multiprocessing.Event()
    engine.start()
    wish = Sampling(max_tokens=16, temperature=0.0, ignore_eos=True)
    engine.submit([5, 77, 300], wish, lambda update: done.set() if update.finish_reason else None)
    done.wait()
    pipe.send("ready")
    pipe.recv()
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]
    sizes = {line.split(":")[0]: int(line.split()[1]) // 1024 for line in lines}
    pipe.send({"rss_mb": sizes["Rss"], "pss_mb": sizes["Pss"]})
    pipe.recv()


def together(exports: list[Path], base: Path | None) -> dict[str, int]:
    context, pipes, processes = multiprocessing.get_context("spawn"), [], []
    for export in exports:
        ours, theirs = multiprocessing.Pipe()
        processes.append(context.Process(target=serve, args=(export, base, theirs)))
        processes[-1].start()
        ours.recv()
        pipes.append(ours)
    for pipe in pipes:
        pipe.send("look")
    found = [pipe.recv() for pipe in pipes]
    for pipe, process in zip(pipes, processes, strict=True):
        pipe.send("end")
        process.join()
    return {name: sum(one[name] for one in found) for name in ("rss_mb", "pss_mb")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base", type=Path)
    parser.add_argument("--rank", type=int, default=8)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        exports = [Path(temporary) / str(number) for number in range(4)]
        for number, export in enumerate(exports):
            an_export(options.base, export, options.rank, number)
        result = {
            str(count): {
                "on_one_base": together(exports[:count], options.base),
                "merged": together(exports[:count], None),
            }
            for count in (1, 2, 4)
        }
    print(json.dumps({"machine": describe(), "rank": options.rank, "processes": result}, indent=1))


if __name__ == "__main__":
    main()
