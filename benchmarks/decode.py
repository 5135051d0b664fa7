"""Decode throughput of the engine: one stream against many, in alternating rounds of one run. Prints JSON.

    python benchmarks/decode.py [--export FOLDER] [--streams 8] [--tokens 64] [--rounds 5]

Without an export it makes a random model of the demo's shape. Ratios are of medians over rounds; times are wall time.
"""

import argparse
import json
import statistics
import tempfile
import threading
import time
from pathlib import Path

import torch
from machine import describe
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import Qwen3Config, Qwen3ForCausalLM

from ropewalk.model.engine import Engine, Update
from ropewalk.model.engine_sampling import Sampling


def a_random_export(folder: Path, hidden_size: int, num_layers: int) -> Path:
    config = Qwen3Config(
        vocab_size=2048,
        hidden_size=hidden_size,
        intermediate_size=hidden_size * 3,
        num_hidden_layers=num_layers,
        num_attention_heads=hidden_size // 32,
        num_key_value_heads=hidden_size // 64,
        head_dim=32,
        max_position_embeddings=256,
        tie_word_embeddings=True,
    )
    Qwen3ForCausalLM(config).save_pretrained(folder)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={text: index for index, text in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def tokens_per_second(engine: Engine, streams: int, tokens: int) -> float:
    done = threading.Semaphore(0)

    def on_update(update: Update) -> None:
        if update.finish_reason:
            done.release()

    started = time.perf_counter()
    for stream in range(streams):
        sampling = Sampling(max_tokens=tokens, temperature=0.0, ignore_eos=True)
        engine.submit([1 + stream, 7, 50, 23], sampling, on_update)
    for _ in range(streams):
        done.acquire()
    return streams * tokens / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--export", type=Path)
    parser.add_argument("--streams", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--hidden-size", type=int, default=128)
    parser.add_argument("--layers", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.export or a_random_export(Path(temporary), options.hidden_size, options.layers)
        engine = Engine(folder, num_slots=options.streams)
        engine.start()
        tokens_per_second(engine, options.streams, options.tokens)
        rounds = [
            (tokens_per_second(engine, 1, options.tokens), tokens_per_second(engine, options.streams, options.tokens))
            for _ in range(options.rounds)
        ]
        engine.stop()
    one, many = (statistics.median(column) for column in zip(*rounds, strict=True))
    result = {
        "machine": describe(),
        "export": str(options.export.name) if options.export else "random",
        "streams": options.streams,
        "tokens_per_stream": options.tokens,
        "rounds": options.rounds,
        "tokens_per_s_one": round(one, 1),
        "tokens_per_s_many": round(many, 1),
        "ratio": round(many / one, 2),
        "ratio_per_round": [round(b / a, 2) for a, b in rounds],
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
