"""What `ropewalk status` says is wrong, from plain values."""

import pytest

from ropewalk.bus.waiting import Waiting
from ropewalk.runtime.needs import Missing
from ropewalk.status.problems import Problem, problems_of
from ropewalk.status.seen import (
    AlarmSeen,
    BrokerView,
    ConsumerLag,
    Disk,
    ProcessState,
    RunSeen,
    Seen,
    ServiceAnswer,
    StreamUse,
    what_waits,
)

NOW = 1_800_000_000.0
GB = 1000**3
WELL = BrokerView(answers=True, max_store_bytes=100 * GB)


def a_disk(free: int, total: int = 60 * 1000**2, **changes: object) -> Disk:
    fields = {"holds": "the event log", "folder": "/s/nats", "mounted_at": "/s", "full": free < 8_000_000, **changes}
    return Disk(free=free, total=total, **fields)


def a_process(service: str = "trainer", **changes: object) -> ProcessState:
    return ProcessState(service=service, **{"pid": 7, "status": "ready", "started_at": NOW - 3600, **changes})


def a_waiting_service(since: float, reason: str = "no acknowledgement in 5 s") -> ServiceAnswer:
    waiting = Waiting(num_sends=2, since=since, subject="evt.run.stage_started.v1.r", reason=reason)
    return ServiceAnswer(service="trainer", answered=True, waiting=waiting)


def problems(**changes: object) -> tuple[Problem, ...]:
    return problems_of(Seen(**{"now": NOW, "broker": WELL, **changes}))


def the_problem(**changes: object) -> Problem:
    (found,) = problems(**changes)
    return found


def test_a_stack_that_is_well_has_no_problem() -> None:
    assert problems(disks=(a_disk(50_000_000),), processes=(a_process(),)) == ()


def test_a_full_disk_is_named_with_its_folder_its_fill_and_what_waits() -> None:
    services = (a_waiting_service(NOW - 30), a_waiting_service(NOW - 60))
    full = the_problem(
        disks=(a_disk(0),), services=services, broker=BrokerView(answers=True, error="x: no space left on device")
    )
    assert (full.kind, full.severity, full.since) == ("disk_full", "error", NOW - 60)
    assert "the disk of the event log is full: /s/nats (mounted at /s), 100% of 60 MB used, 0 MB free" in full.what
    assert "4 sends wait since" in full.what
    assert "evt.run.stage_started.v1.r: no acknowledgement in 5 s" in full.what


def test_a_disk_warns_at_four_fifths_only_if_the_log_could_fill_it() -> None:
    roomy = a_disk(150 * GB, total=1000 * GB, still_wanted=20 * GB)
    narrow = a_disk(12 * GB, total=100 * GB, still_wanted=20 * GB)
    early = a_disk(30 * GB, total=100 * GB, still_wanted=40 * GB)
    assert problems(disks=(roomy, early)) == ()
    warned = the_problem(disks=(narrow,))
    assert (warned.kind, warned.severity) == ("disk_filling", "warning")
    assert "88% of 100 GB used, 12 GB free, up to 20 GB may be added" in warned.what


def test_a_broker_that_met_a_full_disk_is_named_until_it_is_restarted() -> None:
    broker = BrokerView(answers=True, error="write error: no space left on device")
    assert the_problem(disks=(a_disk(50_000_000),), broker=broker).kind == "broker_recovering"


def test_another_error_of_the_broker_is_quoted() -> None:
    broker = BrokerView(answers=True, error="JetStream stream '$G > CONTROL' is not current")
    assert "is not current" in the_problem(broker=broker).what


@pytest.mark.parametrize(("num_bytes", "kind"), [(7 * GB, "stream_filling"), (8 * GB, "stream_full"), (6 * GB, None)])
def test_a_stream_that_refuses_at_its_limit_warns_early(num_bytes: int, kind: str | None) -> None:
    use = StreamUse(name="CONTROL", num_bytes=num_bytes, max_bytes=8 * GB)
    found = problems(broker=BrokerView(answers=True, streams=(use,)))
    assert [problem.kind for problem in found] == ([kind] if kind else [])


def test_a_stream_with_less_room_than_a_message_needs_counts_as_full() -> None:
    use = StreamUse(name="CONTROL", num_bytes=960, max_bytes=1000)
    services = (a_waiting_service(NOW - 5, "maximum bytes exceeded"),)
    assert the_problem(broker=BrokerView(answers=True, streams=(use,)), services=services).kind == "stream_full"


def test_the_store_of_the_broker_has_a_limit_too() -> None:
    broker = BrokerView(answers=True, stored_bytes=90 * GB, max_store_bytes=100 * GB)
    assert the_problem(broker=broker).kind == "store_filling"


def test_a_broker_that_is_down_is_named_once_and_nothing_that_follows_from_it() -> None:
    ended = a_process("nats-server", status="backing off", restarts=1, last_ending="was killed by SIGKILL")
    down = the_problem(
        broker=BrokerView(),
        processes=(ended, a_process()),
        services=(ServiceAnswer(service="trainer", answered=False),),
    )
    assert down.kind == "broker_down"
    assert "was killed by SIGKILL" in down.what


def test_a_broker_that_lives_and_does_not_answer_is_down() -> None:
    assert "lives and does not answer" in the_problem(broker=BrokerView(), processes=(a_process("nats-server"),)).what


def test_a_process_that_restarts_again_and_again_is_named_with_its_last_ending_until_it_has_recovered() -> None:
    ending = "ended with exit code 3"
    flapping = a_process(restarts=5, started_at=NOW - 4, last_ending=ending)
    found = the_problem(processes=(flapping,), services=(ServiceAnswer(service="trainer", answered=True),))
    assert "trainer ends again and again: 5 restarts, last it ended with exit code 3" in found.what
    assert "ropewalk logs trainer" in found.remedy
    assert problems(processes=(a_process(restarts=5, started_at=NOW - 400, last_ending=ending),)) == ()


def test_a_service_that_hangs_and_one_that_is_not_ready_are_told_apart() -> None:
    hanging = the_problem(processes=(a_process(),), services=(ServiceAnswer(service="trainer", answered=False),))
    assert hanging.kind == "not_answering"
    answer = ServiceAnswer(service="trainer", answered=True, reasons=("it may not publish on 'x'",))
    assert the_problem(processes=(a_process(),), services=(answer,)).what == (
        "trainer is not ready: it may not publish on 'x'"
    )


def test_a_service_that_starts_is_not_reported_as_hanging() -> None:
    starting = a_process(status="starting")
    assert problems(processes=(starting,), services=(ServiceAnswer(service="trainer", answered=False),)) == ()


def test_dead_letters_come_after_errors_with_the_command_that_lists_them() -> None:
    broker = BrokerView(answers=True, num_dead_letters=3, error="not current")
    error, dead = problems(broker=broker)
    assert error.severity == "error"
    assert dead.remedy == "`ropewalk dead list`"
    assert "3 messages were set aside" in dead.what


def test_a_consumer_whose_oldest_message_waits_for_a_minute_is_behind() -> None:
    fields = {"stream": "CONTROL", "consumer": "trainer__train", "pending": 4, "ack_pending": 1, "redelivered": 1}
    assert problems(lags=(ConsumerLag(**fields, oldest_s=20.0),)) == ()
    behind = the_problem(lags=(ConsumerLag(**fields, oldest_s=90.0),), processes=(a_process(),))
    assert (behind.kind, behind.severity, behind.since) == ("lag", "warning", NOW - 90)
    assert "trainer__train is behind: 5 messages wait or are worked on" in behind.what
    assert "`ropewalk logs trainer`" in behind.remedy


def test_runs_that_stand_in_line_for_long_are_one_line_and_troubled_ones_are_quoted() -> None:
    fresh = RunSeen(run_id="a", stage="train", queued_since=NOW - 60)
    old = RunSeen(run_id="b", stage="train", queued_since=NOW - 1800)
    older = RunSeen(run_id="c", stage="export", queued_since=NOW - 3600)
    stalled = RunSeen(run_id="d", stage="train", detail="no progress for 1800 s")
    assert problems(runs=(fresh,)) == ()
    troubled, queued = problems(runs=(fresh, old, older, stalled))
    assert troubled.what == "run d, train: no progress for 1800 s"
    assert queued.what.startswith("2 runs wait in line for over 15 minutes, the longest is run c for export (60 min")
    assert queued.since == NOW - 3600


def test_what_waits_is_told_by_the_oldest() -> None:
    seen = Seen(
        now=NOW, broker=WELL, services=(a_waiting_service(NOW - 1, "late"), a_waiting_service(NOW - 9, "first"))
    )
    assert (what_waits(seen).num_sends, what_waits(seen).reason) == (4, "first")


def an_alarm(number: int, detail: str = "latency: the time per generated token rose") -> AlarmSeen:
    return AlarmSeen(alarm_id=f"code-1-latency-{number}", model="code@1", detail=detail, since=NOW - number)


def test_an_alarm_that_nobody_looks_after_is_named_with_what_can_be_done() -> None:
    alarm = the_problem(alarms=(an_alarm(2),))
    assert (alarm.kind, alarm.severity, alarm.since) == ("alarm", "warning", NOW - 2)
    assert alarm.what == "code@1: latency: the time per generated token rose"
    assert "`ropewalk alarms ack code-1-latency-2`" in alarm.remedy
    assert "`ropewalk alarms rebaseline code-1-latency-2`" in alarm.remedy


def test_many_alarms_are_three_lines_and_how_many_more_there_are() -> None:
    found = problems(alarms=tuple(an_alarm(number, "x" * 5_000) for number in range(40)))
    assert len(found) == 4
    assert found[-1].what == "37 more alarms are open"
    assert all(len(each.what) < 500 for each in found)


def test_where_no_process_is_known_a_service_that_is_silent_may_not_be_started() -> None:
    answers = (ServiceAnswer(service="trainer", answered=False), ServiceAnswer(service="ingest", answered=True))
    silent = the_problem(services=answers)
    assert silent.what.startswith("trainer does not answer: it is not started")
    assert "ropewalk logs" not in silent.remedy


def test_a_bus_on_which_nobody_answers_is_one_problem_and_not_seven() -> None:
    nobody = tuple(ServiceAnswer(service=name, answered=False) for name in ("ingest", "trainer", "monitor"))
    assert the_problem(services=nobody).kind == "no_service_answers"


def test_a_broker_that_does_not_let_us_look_is_named_with_what_it_said() -> None:
    denied = the_problem(broker=BrokerView(error="Permissions Violation"))
    assert (denied.kind, denied.severity) == ("broker_unknown", "error")
    assert "Permissions Violation" in denied.what


def a_service(name: str, *missing: Missing, version: str = "0.2.0") -> ServiceAnswer:
    return ServiceAnswer(service=name, answered=True, missing=missing, version=version)


def test_what_several_services_miss_is_one_line_with_their_names_and_the_earliest_time() -> None:
    away = [Missing(kind="objects", what="the object store s3://b does not answer", since=NOW - age) for age in (9, 30)]
    found = the_problem(services=(a_service("trainer", away[0]), a_service("evaluator", away[1]), a_service("serving")))
    assert (found.kind, found.severity, found.since) == ("objects_away", "error", NOW - 30)
    assert found.what == "trainer, evaluator: the object store s3://b does not answer"
    assert "ROPEWALK_OBJECTS_URL" in found.remedy


def test_a_full_disk_that_is_named_with_its_size_is_not_named_again_for_each_service() -> None:
    full = Missing(kind="disk", what="the disk of /s is full", since=NOW)
    found = problems(disks=(a_disk(0, holds="the state folder"),), services=(a_service("trainer", full),))
    assert [each.kind for each in found] == ["disk_full"]


def test_services_of_two_versions_are_named_with_their_versions() -> None:
    found = the_problem(services=(a_service("ingest", version=""), a_service("trainer"), a_service("serving")))
    assert found.kind == "mixed_versions"
    assert "(0.2.0: trainer, serving; before 0.2: ingest)" in found.what


def test_a_broker_that_takes_nothing_although_nothing_else_is_wrong_with_it_is_named() -> None:
    assert problems(services=(a_waiting_service(NOW - 3),)) == ()
    found = the_problem(services=(a_waiting_service(NOW - 12),))
    assert found.kind == "sends_wait"
    assert "2 sends wait since" in found.what
