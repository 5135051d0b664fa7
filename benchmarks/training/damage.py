"""Damaged checkpoints: none may be resumed from, no run may be lost by one, and each must be told of.

    python benchmarks/training/damage.py [--seeds 3] [--out DIR]

Every kind of damage in `parts/damages.py` at the newest checkpoint, the one before, the oldest and the two newest, in
a local folder (as an ordinary user) and in a bucket with a cold and a warm cache; then whoever publishes, sets aside or
deletes a checkpoint is killed at every system call (local) or cut at every request (bucket). After each case a run is
resumed and what is left is hashed as the scrub does. `--s3` takes a server of the S3 protocol instead of obstore's own
bucket in memory, for a share of the cases; `parts/s3_server.py` says which.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from machine import describe
from obstore.store import MemoryStore
from parts.damage_cases import Ground, Verdict, cases
from parts.killed_writers import Writers
from parts.s3_server import running_s3

_SHOWN = 20


def main() -> None:
    """Print one JSON object; exit code 1 if the bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--s3", action="store_true", help="only the cases against a server over HTTP")
    parser.add_argument("--out", type=Path, help="folder for training_damage.json")
    options = parser.parse_args()
    began, counts, wrong = time.monotonic(), Counter[str](), Verdict()
    with tempfile.TemporaryDirectory(prefix="ropewalk-damage-") as root:
        os.chmod(root, 0o755)
        ground = Ground(Path(root) / "ground")
        server = ""
        if options.s3:
            with running_s3(Path(root)) as (server, make):
                _count(_over_http(ground, make), counts, wrong)
        else:
            _count(_all(ground, options.seeds), counts, wrong)
    result = {
        "cases": counts.total(),
        "by_kind": dict(counts),
        "accepted": len(wrong.accepted),
        "runs_lost": len(wrong.lost),
        "without_event": len(wrong.silent),
        "examples": (wrong.accepted + wrong.lost + wrong.silent)[:_SHOWN],
        "server": server or "local folder; obstore's bucket in memory",
        "seconds": round(time.monotonic() - began, 1),
        "bar": "0 accepted, 0 runs lost, each with an event",
        "machine": describe(),
    }
    text = json.dumps(result, indent=1)
    print(text)
    if options.out:
        name = "training_damage_s3.json" if options.s3 else "training_damage.json"
        (options.out / name).write_text(text + "\n")
    sys.exit(bool(wrong.accepted or wrong.lost or wrong.silent))


def _all(ground: Ground, seeds: int) -> Iterator[tuple[str, Verdict]]:
    for case in cases(seeds, seeds):
        yield "damaged, local", ground.run_local(case)
        if not case.local_only:
            for warm in (False, True):
                yield (
                    f"damaged, bucket, {'warm' if warm else 'cold'} cache",
                    ground.run_bucket(case, MemoryStore(), warm),
                )
    writers = Writers(ground)
    yield from ((f"{name}: killed at every system call", verdict) for name, verdict in writers.local())
    yield from ((f"{name}: cut at every request", verdict) for name, verdict in writers.bucket(MemoryStore))


def _over_http(ground: Ground, make: Callable[[], Any]) -> Iterator[tuple[str, Verdict]]:
    for number, case in enumerate(case for case in cases(1, 1) if not case.local_only):
        yield "damaged, S3 over HTTP", ground.run_bucket(case, make(), warm=bool(number % 2))
    yield from (
        (f"{name}: cut at every request, S3 over HTTP", verdict) for name, verdict in Writers(ground).bucket(make)
    )


def _count(verdicts: Iterator[tuple[str, Verdict]], counts: Counter[str], wrong: Verdict) -> None:
    for kind, verdict in verdicts:
        counts[kind] += 1
        wrong.accepted += verdict.accepted
        wrong.lost += verdict.lost
        wrong.silent += verdict.silent
        if counts.total() % 200 == 0:
            print(f"{counts.total()} cases", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
