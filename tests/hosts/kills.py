"""Random kills of the three servers under load. Prints JSON; `benchmarks/nats_r3.py` runs it on hosts of its own."""

import argparse
import json
import random
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from hosts.load import Load
from hosts.nats_cluster import SERVERS, NatsCluster, running_cluster
from hosts.network import may_make_hosts

_TWO_AT_ONCE = 0.12  # of all kills: then nothing can be written until one is back
_MOST_DOWN_S = 2.5
_MOST_PAUSE_S = 1.5
_STUCK_S = 90.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--rate", type=float, default=30.0, help="facts a second")
    asked = parser.parse_args()
    if not may_make_hosts():
        raise SystemExit("namespaces with networks of their own need root: run it as root")
    seed = random.randrange(1_000_000) if asked.seed is None else asked.seed
    folder = Path(tempfile.mkdtemp(prefix="rw-hosts-", dir="/var/tmp"))
    try:
        with running_cluster(folder) as cluster, Load(cluster, rate=asked.rate) as load:
            print(json.dumps(play(cluster, load, asked.kills, seed), indent=1))
    finally:
        shutil.rmtree(folder)


def play(cluster: NatsCluster, load: Load, num_kills: int, seed: int) -> dict[str, Any]:
    """Kill servers until as many as wanted are killed; what became of the load. Each recovery is one of a fact stated
    after the kill and a commit begun after it, both acknowledged."""
    chance, began = random.Random(seed), time.monotonic()
    recoveries: list[tuple[int, float]] = []
    killed = 0
    while killed < num_kills:
        victims = chance.sample(SERVERS, 2 if chance.random() < _TWO_AT_ONCE and killed + 2 <= num_kills else 1)
        at = time.monotonic()
        cluster.kill(*victims)
        time.sleep(chance.uniform(0.1, _MOST_DOWN_S))
        cluster.start(*victims)
        load.until_moving(_STUCK_S)
        recoveries.append((len(victims), time.monotonic() - at))
        killed += len(victims)
        time.sleep(chance.uniform(0, _MOST_PAUSE_S))
    seconds = time.monotonic() - began
    cluster.until_healthy(*SERVERS)
    died = load.ended()
    found = load.judged()
    return {
        "seed": seed,
        "kills": killed,
        "kills_of_two_at_once": sum(number == 2 for number, _ in recoveries),
        "seconds": round(seconds, 1),
        "published": found["stored"],
        "acknowledged": found["acknowledged"],
        "answered": found["answered"],
        "lost": len(found["lost"]),
        "doubled": len(found["doubled"]),
        "commits_out_of_order": len(found["disorder"]),
        "dead_letters": found["letters"],
        "programs_that_died": len(died),
        "longest_stall_s": round(found["longest_stall_s"], 2),
        "recovery_s": _spread([s for number, s in recoveries if number == 1]),
        "recovery_from_two_s": _spread([s for number, s in recoveries if number == 2]),
    }


def _spread(seconds: list[float]) -> dict[str, float]:
    if not seconds:
        return {}
    ordered = sorted(seconds)
    return {
        "p50": round(statistics.median(ordered), 2),
        "p90": round(ordered[int(0.9 * (len(ordered) - 1))], 2),
        "max": round(ordered[-1], 2),
    }


if __name__ == "__main__":
    main()
