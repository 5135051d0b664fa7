"""What one CPU core of this machine trains: CPU seconds of a step by size, the figures of `recipes/device_table.py`.

    python benchmarks/training/device_table.py

One rank, one thread, fp32, the worker's own loop on random tokens, no checkpoints. Larger sizes take a smaller batch:
the time of a token hardly depends on it, that of the optimizer does, and is told apart by two batches.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from machine import describe
from parts.short_training import Ground, ground, plan_of

_CASES = (("tiny", 4, 40), ("tiny", 16, 20), ("nano", 4, 20), ("nano", 1, 20), ("micro", 4, 5), ("small", 1, 3))


def main() -> None:
    """Print one JSON object."""
    rows = []
    with ground() as root:
        for size, batch, steps in _CASES:
            plan = plan_of(size, batch_size=batch)
            step_s = Ground(Path(root)).train(plan, steps, stdlib=False).step_cpu_s()
            tokens = batch * plan.context_length
            rows.append({"size": size, "tokens_a_step": tokens, "step_cpu_s": round(step_s, 5)})
            print(rows[-1], file=sys.stderr, flush=True)
    print(json.dumps({"machine": describe(), "rows": rows}))


if __name__ == "__main__":
    main()
