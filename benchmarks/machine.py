"""Where and with what a figure was measured. Run by itself it prints that; the other benchmarks add it to theirs."""

import json
import os
import platform
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil

_PACKAGES = ("torch", "transformers", "ray", "deepspeed", "nats-py", "faststream", "chdb", "nvidia-pytriton", "numpy")


def describe() -> dict[str, object]:
    """The processor, the memory (GB), the load (1 min), how fast it is at the moment and the versions that matter."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next(line.partition(": ")[2] for line in lines if line.startswith("model name"))
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": model,
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "load_1min": round(os.getloadavg()[0], 2),
        "ns_per_addition": _ns_per_addition(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in _PACKAGES},
    }


def _ns_per_addition() -> float:
    """A virtual machine may be half as fast as an hour ago: this tells figures of a slow hour from slower code."""
    number, total, began = 3_000_000, 0, time.perf_counter()
    for each in range(number):
        total += each
    return round(1e9 * (time.perf_counter() - began) / number, 1)


if __name__ == "__main__":
    print(json.dumps(describe(), indent=1))
