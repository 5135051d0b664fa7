"""Random kill -9 of three nats-servers under load, as `k8s/base` configures them: is anything lost or doubled, and how
long does nothing move? `--kills N --seed S`. Needs root, for each server has a network namespace (`tests/hosts`)."""

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1] / "tests"

if __name__ == "__main__":
    command = [sys.executable, "-m", "hosts.kills", *sys.argv[1:]]
    raise SystemExit(subprocess.run(command, env=os.environ | {"PYTHONPATH": str(TESTS)}, check=False).returncode)
