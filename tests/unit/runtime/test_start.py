"""A service that cannot run where it was started says why in one sentence, and exits with status 2."""

import os
import subprocess
import sys

import pytest

from ropewalk.runtime.settings import RuntimeSettings, SettingsError, read_settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("ROPEWALK_CAPACITY_GPUS", value) for value in ("-1", "nan", "1e9", "99999999999999999999")),
        *(("ROPEWALK_CAPACITY_CPUS", value) for value in ("-1", "nan", "inf", "1e9", "many")),
        *(("ROPEWALK_LEASE_TTL_S", value) for value in ("nan", "inf", "1")),
        ("ROPEWALK_STOP_GRACE_S", "inf"),
        ("ROPEWALK_NATS_REPLICAS", "9"),
        ("ROPEWALK_HEALTH_PORT", "-1"),
    ],
)
def test_a_setting_out_of_bounds_is_named_with_its_value_and_the_remedy(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=rf"^the variable {name} has '{value}': Input should be .*; change it, or "):
        read_settings(RuntimeSettings)


@pytest.mark.parametrize("service", ["ingest", "monitor"])
def test_a_service_with_a_bad_setting_ends_with_one_line(service: str) -> None:
    environment = {**os.environ, "ROPEWALK_CAPACITY_GPUS": "-1"}
    done = subprocess.run(
        [sys.executable, "-m", f"ropewalk.{service}"], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert "the variable ROPEWALK_CAPACITY_GPUS has '-1': " in line
