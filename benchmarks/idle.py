"""What the embedded stack costs while nothing happens: CPU in percent of one core, memory as PSS in MB. Prints JSON.

python benchmarks/idle.py [--seconds 60] [--windows 3]
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from machine import describe

from ropewalk.local.names import PROCESS_MARKER
from ropewalk.local.supervision.processes import cpu_seconds, stack_processes

_SETTLE_S = 30.0


def main() -> None:
    """Start, settle, measure, stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--windows", type=int, default=3)
    options = parser.parse_args()
    ropewalk = str(Path(sys.executable).parent / "ropewalk")
    with tempfile.TemporaryDirectory(prefix="ropewalk-idle-") as name:
        state_dir = Path(name)
        began = time.monotonic()
        subprocess.run([ropewalk, "up", "--state-dir", name], check=True, capture_output=True)
        up_s = time.monotonic() - began
        time.sleep(_SETTLE_S)
        windows = [_window(state_dir, options.seconds) for _ in range(options.windows)]
        memory = _memory(state_dir)
        subprocess.run([ropewalk, "down", "--state-dir", name], check=True, capture_output=True)
        left = len(stack_processes(state_dir))
    result = {
        "up_s": round(up_s, 1),
        "cpu_percent_median": round(statistics.median(windows), 2),
        "cpu_percent_windows": [round(value, 2) for value in windows],
        "window_s": options.seconds,
        "memory_mb": round(sum(memory.values())),
        "memory_mb_by_process": {name: round(value) for name, value in sorted(memory.items())},
        "processes_left_after_down": left,
    }
    print(json.dumps({"machine": describe(), **result}, indent=1))


def _window(state_dir: Path, seconds: float) -> float:
    """CPU of processes that lived through the window, in percent of one core."""
    processes = stack_processes(state_dir)
    before = cpu_seconds(processes)
    time.sleep(seconds)
    return 100 * (cpu_seconds(processes) - before) / seconds


def _memory(state_dir: Path) -> dict[str, float]:
    by_name: dict[str, float] = {}
    for process in stack_processes(state_dir):
        try:
            name, used = process.environ()[PROCESS_MARKER], process.memory_full_info().pss / 1e6
        except (psutil.Error, KeyError):
            continue
        by_name[name] = by_name.get(name, 0.0) + used
    return by_name


if __name__ == "__main__":
    main()
