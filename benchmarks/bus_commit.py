"""How long a commit takes: a stage's state by compare-and-set and three messages, one atomic batch, fsync on.

Prints JSON. Commits come one after the other, each on the revision that the one before left.

python benchmarks/bus_commit.py [--commits 400] [--turns 3]
"""

import argparse
import asyncio
import json
import time
import uuid

from machine import describe
from parts.broker import running_broker
from parts.spread import percentile, spread_ms

from ropewalk.bus.bus import Bus
from ropewalk.bus.settings import NatsSettings
from ropewalk.events.run import StageCompleted, StageState

_MESSAGES = 3
_BAR_MS = 40


def main() -> None:
    """Commit again and again."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--commits", type=int, default=400)
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    with running_broker() as broker:
        turns = [asyncio.run(_measure(broker.settings, options.commits)) for _ in range(options.turns)]
    seconds = [each for turn in turns for each in turn]
    result = {
        "commits": len(seconds),
        "messages_per_commit": 1 + _MESSAGES,
        "commit_ms": spread_ms(seconds),
        "commit_ms_of_each_turn": [spread_ms(turn) for turn in turns],
        "commits_per_s": round(len(seconds) / sum(seconds)),
        "bar_p99_ms": _BAR_MS,
        "within_bar": 1e3 * percentile(seconds, 0.99) <= _BAR_MS,
    }
    print(json.dumps({"machine": describe(), **result}, indent=1))


async def _measure(settings: NatsSettings, commits: int) -> list[float]:
    bus = await Bus.connect(settings, "bench")
    run_id, revision, seconds = uuid.uuid4().hex, 0, []
    for _ in range(commits):
        state = StageState(
            run_id=run_id,
            stage="train",
            status="running",
            epoch=1,
            attempt=1,
            operation_id=uuid.uuid4().hex,
            cause_id="cause",
            cause_type="ropewalk.evt.run.accepted.v1",
            cause_body="{}",
        )
        fact = StageCompleted(run_id=run_id, stage="train", epoch=1, seconds=1.0)
        messages = [bus.prepare(fact, cause_id=state.operation_id, key=str(index)) for index in range(_MESSAGES)]
        began = time.perf_counter()
        revision = await bus.commit(state, revision, messages)
        seconds.append(time.perf_counter() - began)
    await bus.close()
    return seconds


if __name__ == "__main__":
    main()
