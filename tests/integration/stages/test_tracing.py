"""A run is one trace: what a real service process exports, and what it sends along with its messages."""

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ropewalk.bus.bus import Bus
from ropewalk.events.data import CorpusIngested
from ropewalk.events.run import RunAccepted
from ropewalk.recipes.builtin import resolve_recipe
from ropewalk.telemetry.spans import span, traceparent_of_run

SERVICE = Path(__file__).parent / "sample_service.py"
SOMEBODY_ELSES = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def traceparent_of_the_result(bus: Bus, run_id: str, cause: str) -> str:
    """Accept a run in the context `cause` and return what travels with the stage's last message."""
    recipe = resolve_recipe({"base": "python-stdlib-tiny"})
    with span("test", traceparent=cause):
        await bus.publish(
            RunAccepted(run_id=run_id, recipe=recipe.as_json(), recipe_sha256=recipe.sha256()), cause_id=run_id
        )
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        async for item in bus.read(f"{CorpusIngested.subject_prefix()}.{run_id}"):
            return item.envelope.traceparent
        await asyncio.sleep(0.05)
    raise AssertionError("the stage did not end")


@pytest.mark.parametrize("cause", ["", SOMEBODY_ELSES], ids=["no context", "somebody's context"])
async def test_a_stage_and_what_it_publishes_are_in_the_trace_of_the_run(
    nats_server, collector, tmp_path: Path, cause: str
) -> None:
    environment = os.environ | {
        "ROPEWALK_NATS_URL": nats_server.settings.url,
        "ROPEWALK_NATS_USER": nats_server.settings.user,
        "ROPEWALK_NATS_PASSWORD": nats_server.settings.password,
        "ROPEWALK_STATE_DIR": str(tmp_path),
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
    }
    process = subprocess.Popen([sys.executable, SERVICE], env=environment)
    bus = await Bus.connect(nats_server.settings, "test")
    sent = await traceparent_of_the_result(bus, "quick", cause)
    await bus.close()
    process.terminate()
    assert process.wait(20) == 0
    trace = traceparent_of_run("quick")[3:35]
    spans = {span.name: span for span in collector.spans()}
    assert {"handle run.accepted", "stage sample"} <= set(spans)
    assert {span.parent_span_id for span in spans.values()} == {b""}
    assert [link.trace_id.hex() for link in spans["handle run.accepted"].links] == [one[3:35] for one in [cause] if one]
    assert {span.trace_id.hex() for span in spans.values()} == {trace}
    assert sent[3:35] == trace
    assert sent[36:52] == spans["stage sample"].span_id.hex()
    durations = {"ropewalk.message.duration", "ropewalk.stage.duration"}
    lags = {f"ropewalk.consumer.{name}" for name in ("pending", "ack_pending", "redelivered", "oldest")}
    assert durations | lags | {"ropewalk.loop.blocked"} <= collector.metric_names()
