"""The checkpoint-manager and the evaluator as processes on a real bus, from a saved checkpoint to the end of a run."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ropewalk.bus.bus import Bus
from ropewalk.checkpoint_manager.domain.keys import ledger_key
from ropewalk.events.base import Message
from ropewalk.events.checkpoint import CheckpointCommitted, CheckpointExported, CheckpointQuarantined, CheckpointSaved
from ropewalk.events.evaluation import EvaluationCompleted, GateDecided
from ropewalk.events.run import RunAccepted, RunCompleted, RunFailed
from ropewalk.events.training import TrainingCompleted

DEADLINE_S = 90.0


@pytest.fixture
def processes(nats_server, stage, tmp_path: Path) -> Iterator[None]:
    environment = os.environ | {
        "ROPEWALK_NATS_URL": nats_server.settings.url,
        "ROPEWALK_NATS_USER": nats_server.settings.user,
        "ROPEWALK_NATS_PASSWORD": nats_server.settings.password,
        "ROPEWALK_STATE_DIR": str(tmp_path / "state"),
        "ROPEWALK_OBJECTS_URL": stage.objects.root.as_uri(),
    }
    with (tmp_path / "services.log").open("wb") as log:
        running = [
            subprocess.Popen([sys.executable, "-m", f"ropewalk.{name}"], env=environment, stdout=log, stderr=log)
            for name in ("checkpoint_manager", "evaluator")
        ]
        yield
        for process in running:
            process.terminate()
        for process in running:
            process.wait(20)


async def first(bus: Bus, kind: type[Message]) -> Message:
    """The first message of a type, waited for."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        found = await bus.last(kind, "r")
        if found is not None:
            return found
        failed = await bus.last(RunFailed, "r")
        assert failed is None, failed
        await asyncio.sleep(0.1)
    raise AssertionError(f"no {kind.__name__} within {DEADLINE_S:.0f} s")


def a_saved(objects, uri: str, step: int, **changes: object) -> CheckpointSaved:
    from ropewalk.storage.manifest import read_manifest

    fields = {
        "run_id": "r",
        "checkpoint_id": f"r-7-{step}",
        "epoch": 7,
        "step": step,
        "uri": uri,
        "manifest_sha256": read_manifest(objects.fetch(uri)).sha256,
        "num_bytes": 1,
        "blocked_s": 0.0,
    }
    return CheckpointSaved.model_validate(fields | changes)


async def test_a_run_goes_from_its_checkpoints_to_its_end(nats_server, stage, processes, tmp_path: Path) -> None:
    objects = stage.objects
    tokens = np.random.default_rng(1).integers(0, 300, size=3000).astype(np.uint16)
    (tmp_path / "d").mkdir()
    tokens.tofile(tmp_path / "d" / "tokens.bin")
    meta = {"dataset_version": "v", "tokenizer_uri": "tokenizers/t", "context_length": 64, "dtype": "uint16"}
    objects.publish(
        tmp_path / "d", "datasets/v", meta | {"num_tokens": 3000, "num_windows": 46, "has_mask": False, "eos_id": 0}
    )
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "ledger.jsonl").write_text("{}\n")
    objects.publish(tmp_path / "old", "runs/r/checkpoints/7-20", {})
    broken = a_saved(objects, "runs/r/checkpoints/7-20", 20, manifest_sha256="f" * 64)
    bus = await Bus.connect(nats_server.settings, "test")
    try:
        accepted = RunAccepted(run_id="r", recipe=stage.recipe.as_json(), recipe_sha256=stage.recipe.sha256())
        final_uri = "runs/r/checkpoints/7-40"
        final = TrainingCompleted(
            run_id="r", checkpoint_id="r-7-40", uri=final_uri, step=40, loss=1.0, tokens=1, seconds=1.0
        )
        for message in (accepted, *stage.bus.messages, broken, a_saved(objects, final_uri, 40), final):
            await bus.publish(message)
        assert (await first(bus, CheckpointQuarantined)).checkpoint_id == "r-7-20"
        assert (await first(bus, CheckpointCommitted)).checkpoint_id == "r-7-40"
        exported = await first(bus, CheckpointExported)
        assert objects.exists(exported.uri)
        completed = await first(bus, EvaluationCompleted)
        decided = await first(bus, GateDecided)
        assert decided.decision == "reject"  # random weights
        assert decided.comparison in completed.estimates
        assert await first(bus, RunCompleted) == RunCompleted(run_id="r", outcome="rejected", model="pycode")
        assert not objects.exists(ledger_key("r", "r-7-40"))  # this checkpoint had none
    finally:
        await bus.close()


@pytest.mark.parametrize("service", ["checkpoint_manager", "evaluator"])
def test_an_idle_service_has_not_loaded_torch(service: str) -> None:
    heavy = "{'torch', 'transformers', 'ray', 'deepspeed', 'scipy'}"
    program = f"import sys, ropewalk.{service}.app; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
