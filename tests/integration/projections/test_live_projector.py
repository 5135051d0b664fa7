"""The projector of the monitor against a real server: it survives kill -9 and never differs from the log."""

import json
import os
import subprocess
import sys
from datetime import datetime

import pytest

from ropewalk.bus.wire import NoResponderError
from ropewalk.client.log import check_log, list_runs, projections
from ropewalk.events.run import RunCancelled, RunCompleted, StageState, SubmitRun
from ropewalk.projections.asking import ProjectorError, ask, fetch
from ropewalk.projections.live_at import live_at
from ropewalk.projections.projector import Projector
from ropewalk.projections.replay import Until, rebuild


def test_a_killed_projector_continues_from_its_snapshot_and_equals_a_rebuild(
    append, live, sample_run, wire, eventually
):
    first = append(sample_run(0))
    live.start()
    eventually(lambda: live.snapshot.exists() and json.loads(live.snapshot.read_bytes())["sequence"] == first)
    live.kill()
    last = append(sample_run(7))
    live.start()

    hashes = ask(wire, "hashes")
    rebuilt, _ = rebuild(wire, Until(sequence=hashes["sequence"]))
    assert hashes["sequence"] == last
    assert hashes["hashes"] == {name: rebuilt.digest(name) for name in rebuilt.names}
    assert f"continue after message {first}" in live.log.read_text()


def test_what_was_just_written_is_in_the_next_answer(append, live, wire):
    live.start()
    append([SubmitRun(run_id="new", recipe={"name": "mine"})])

    answer = ask(wire, "run_list", limit=5)

    assert [(run["run_id"], run["status"]) for run in answer["runs"]] == [("new", "submitted")]


def test_a_snapshot_of_another_log_is_dropped(append, live, sample_run, wire):
    stranger = Projector()
    stranger.stand_at(3, "2020-01-01T00:00:00Z")
    live.snapshot.parent.mkdir()
    live.snapshot.write_bytes(stranger.save())
    append(sample_run(0))
    live.start()

    assert check_log(wire, compare=True).ok
    assert "not the one of the snapshot" in live.log.read_text()


def test_fsck_names_the_first_field_of_a_snapshot_that_was_tampered_with(append, live, sample_run, wire, eventually):
    last = append([*sample_run(0), *sample_run(1)])
    live.start()
    eventually(lambda: live.snapshot.exists() and json.loads(live.snapshot.read_bytes())["sequence"] == last)
    live.kill()
    state = json.loads(live.snapshot.read_bytes())
    state["records"]["runs"]["sample-00001"]["ending"][1]["model_version"] = 9
    live.snapshot.write_text(json.dumps(state))
    live.start()

    verdict = check_log(wire, compare=True)

    assert not verdict.ok
    assert [each.name for each in verdict.comparisons if not each.equal] == ["runs"]
    assert verdict.comparisons[0].difference == "sample-00001.model_version: live 9, rebuilt 1"


def test_fsck_finds_a_second_ending_and_an_illegal_state_in_the_log(append, wire):
    done = StageState(
        run_id="r",
        stage="train",
        status="done",
        epoch=4,
        attempt=1,
        operation_id="o",
        cause_id="c",
        cause_type="t",
        cause_body="{}",
    )
    append(
        [
            RunCompleted(run_id="r", outcome="promoted"),
            RunCancelled(run_id="r", mode="now"),
            done,
            done.model_copy(update={"status": "running", "epoch": 3}),
        ]
    )

    verdict = check_log(wire, compare=False)

    assert verdict.findings == (
        "run r ended twice: completed at 1, then cancelled at 2",
        "state.run.train.v1.r at 4: epoch 3 after 4",
        "state.run.train.v1.r at 4: running after done, without a new request",
    )


def test_fsck_finds_what_is_missing_from_the_copy_of_the_log(append, sample_run, wire):
    append(sample_run(0))
    for sequence in (5, 6, 40):
        assert json.loads(wire.request("$JS.API.STREAM.MSG.DELETE.AUDIT", b'{"seq": %d}' % sequence).body)["success"]

    assert check_log(wire, compare=False).findings == (
        "AUDIT lacks messages 5 to 6, of which CONTROL still has 5",
        "AUDIT lacks messages 40 to 40, of which CONTROL still has 40",
    )


def test_without_a_monitor_the_log_itself_answers_and_comparing_is_refused(append, sample_run, wire):
    append([*sample_run(0), *sample_run(7), *sample_run(14)])

    found = list_runs(wire, 2)

    assert (found["total"], [run["run_id"] for run in found["runs"]]) == (3, ["sample-00007", "sample-00014"])
    assert [run["model_version"] for run in found["runs"]] == [2, 3]
    with pytest.raises(NoResponderError):
        check_log(wire, compare=True)


def test_the_log_answers_for_a_monitor_that_listens_and_says_nothing(append, live, sample_run, wire, monkeypatch):
    monkeypatch.setattr("ropewalk.projections.asking._PATIENCE_S", 0.5)
    append(sample_run(0))
    live.start()
    live.freeze()

    assert list_runs(wire, 5)["total"] == 1
    assert projections(wire, "costs")["costs"]["sample-00000"]["total"]["attempts"] == 6


def test_a_projection_larger_than_a_message_arrives_whole(append, live, wire):
    for part in range(4):
        append(
            SubmitRun(run_id=f"r-{part}-{number}", recipe={"name": "n" * 400}, owner="o" * 60) for number in range(750)
        )
    live.start()

    rendered = fetch(wire, "runs")

    assert len(rendered.body) > 1_100_000
    assert len(rendered.items()) == 3_000


def test_a_snapshot_that_cannot_be_written_stops_nothing(append, live, sample_run, wire, eventually):
    live.snapshot.parent.write_text("a file where the folder should be")
    append(sample_run(0))
    live.start()

    eventually(lambda: "the snapshot of the projections cannot be written" in live.log.read_text())
    append(sample_run(7))
    assert ask(wire, "run_list")["total"] == 2


def test_a_question_that_makes_no_sense_gets_a_sentence(append, live, wire):
    live.start()
    for question, details, words in (
        ("nothing", {}, "there is no projection 'nothing'"),
        ("run_list", {"status": "odd"}, "status 'odd' is not known"),
        ("runs", {"sequence": 77}, "is not kept any more"),
    ):
        with pytest.raises(ProjectorError, match=words):
            ask(wire, question, **details)


def test_replay_until_a_time_or_a_sequence_knows_nothing_later(append, sample_run, wire):
    first = append(sample_run(0))
    append(sample_run(7))
    at_first, _ = rebuild(wire, Until(sequence=first))
    moment = datetime.fromisoformat(at_first.time)

    by_time, progress = rebuild(wire, Until(moment=moment))

    # the server writes nanoseconds and a moment has microseconds, so the last message may be just beyond it
    assert by_time.sequence in (first, first - 1) or progress.num_read < first
    assert at_first.sequence == first
    assert at_first.keys("runs") == ["sample-00000"]
    everything, _ = rebuild(wire)
    assert everything.keys("runs") == ["sample-00000", "sample-00007"]
    live_then = live_at(*(_items(everything, name) for name in ("registry", "lineage")), moment)
    assert [(name.name, name.version) for name in live_then] == [("model-0", 1), ("model-0@1", 1)]


def _items(projector, name):
    return {key: projector.view(name, key) for key in projector.keys(name)}


def test_answers_are_the_same_with_and_without_a_monitor(append, live, sample_run, wire):
    append([*sample_run(0), *sample_run(7)])
    names = ("runs", "registry", "lineage", "costs", "ledger")
    from_log = projections(wire, *names)
    live.start()

    assert projections(wire, *names) == from_log
    assert json.dumps(from_log)


def test_replay_writes_a_file_per_projection_and_what_it_did(append, sample_run, nats_server, tmp_path):
    append(sample_run(0))
    environment = os.environ | {
        "ROPEWALK_NATS_URL": nats_server.settings.url,
        "ROPEWALK_NATS_USER": nats_server.settings.user,
        "ROPEWALK_NATS_PASSWORD": nats_server.settings.password,
    }
    command = [sys.executable, "-m", "ropewalk.cli.main", "replay", "--until", "40", "--into", str(tmp_path / "then")]

    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)

    facts = json.loads((tmp_path / "then" / "replay.json").read_text())
    assert (facts["sequence"], facts["num_messages"]) == (40, 40)
    assert json.loads((tmp_path / "then" / "runs.json").read_text())["sample-00000"]["status"] == "running"
    assert {path.stem for path in (tmp_path / "then").iterdir()} == {*facts["hashes"], "replay"}
    assert "as of sequence 40" in done.stdout
