"""Where and with what a figure was measured. Run by itself it prints that; the other benchmarks add it to theirs."""

import json
import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil

_PACKAGES = ("torch", "transformers", "ray", "deepspeed", "nats-py", "faststream", "chdb", "nvidia-pytriton", "numpy")


def describe() -> dict[str, object]:
    """The processor, the memory (GB), the load (1 min) and the versions that matter."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next(line.partition(": ")[2] for line in lines if line.startswith("model name"))
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": model,
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "load_1min": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in _PACKAGES},
    }


if __name__ == "__main__":
    print(json.dumps(describe(), indent=1))
