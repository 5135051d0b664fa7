"""The two data services are wired to their triggers and stay light."""

import json
import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import json, sys
from ropewalk.ingest import app as ingest, settings as ingest_settings
from ropewalk.preprocessing import app as preprocessing, settings as preprocessing_settings
services = ingest.build(ingest_settings.Settings()), preprocessing.build(preprocessing_settings.Settings())
heavy = {"ray", "torch", "transformers", "tokenizers", "rensa", "scipy"}
stages = {spec.name: spec.trigger.type_name() for service in services for spec in service._specs}
print(json.dumps({"heavy": sorted(heavy & set(sys.modules)), "stages": stages}))
"""


def test_each_stage_has_its_trigger_and_no_heavy_library_is_loaded(tmp_path: Path) -> None:
    environment = {**os.environ, "ROPEWALK_STATE_DIR": str(tmp_path)}
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env=environment,
    )
    assert json.loads(ended.stdout) == {
        "heavy": [],
        "stages": {
            "ingest": "ropewalk.evt.run.accepted.v1",
            "preprocess": "ropewalk.evt.data.corpus_ingested.v1",
        },
    }
