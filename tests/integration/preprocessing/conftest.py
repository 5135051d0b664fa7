"""One Ray for the tests of this folder that do not kill a part of it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "shared_ray.py"


@pytest.fixture(scope="package")
def ray_address() -> Iterator[str]:
    """Where it is; the token is in the environment, from which a driver takes it."""
    with (
        subprocess.Popen([sys.executable, SCRIPT], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process,
        pytest.MonkeyPatch.context() as environment,
    ):
        assert process.stdout is not None
        place = json.loads(process.stdout.readline())
        environment.setenv("RAY_AUTH_MODE", "token")
        environment.setenv("RAY_AUTH_TOKEN", place["token"])
        environment.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        yield place["address"]
        process.communicate(timeout=60)  # closes its input
