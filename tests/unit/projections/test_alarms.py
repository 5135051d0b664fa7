"""Alarms as the log tells of them."""

import orjson
import pytest

from ropewalk.events.monitoring import AlarmAcknowledged, AlarmCleared, AlarmRaised
from ropewalk.projections.answering import Answers, Question
from ropewalk.projections.lists import alarm_list
from ropewalk.projections.projector import Projector


def raised(signal="latency", number=1, **fields):
    usual = {
        "run_id": "r",
        "alarm_id": f"code-1-{signal}-{number}",
        "model": "code",
        "model_version": 1,
        "signal": signal,
        "statistic": 7e5,
        "threshold": 6e5,
        "false_alarm_rate": 1e-6,
        "changed_at": "2026-03-01T12:00:00.000Z",
        "detected_at": "2026-03-01T12:01:00.000Z",
        "num_requests": 300,
        "baseline_mean": 3.0,
        "current_mean": 4.0,
        "detail": f"{signal}: it rose",
        "number": number,
    }
    return AlarmRaised(**usual | fields)


def cleared(signal="latency", number=1):
    return AlarmCleared(run_id="r", alarm_id=f"code-1-{signal}-{number}", model="code", reason="it returned")


def noted(signal="latency", number=1):
    return AlarmAcknowledged(run_id="r", alarm_id=f"code-1-{signal}-{number}", by="ann", note="I look")


def view(log, *messages, key="code-1-latency-1"):
    projector = Projector()
    for stored in log(*messages):
        projector.apply(stored)
    return projector.view("alarms", key)


@pytest.mark.parametrize(
    ("messages", "status"),
    [
        ((raised(),), "open"),
        ((raised(), noted()), "acknowledged"),
        ((raised(), noted(), cleared()), "cleared"),
        ((raised(), cleared()), "cleared"),
        ((raised(), cleared(), noted()), "cleared"),
        ((raised(), raised("latency", 2), cleared("latency", 2)), "open"),
        ((raised(), cleared(), raised()), "open"),  # a monitor that lost its tables counts from 1 again
        ((raised(), noted(), cleared(), raised()), "open"),
    ],
)
def test_an_alarm_is_open_until_somebody_looks_after_it_or_it_is_over(log, messages, status):
    assert view(log, *messages)["status"] == status


def test_who_looks_after_an_alarm_and_why_it_is_over_are_known(log):
    found = view(log, raised(), noted(), cleared())
    assert (found["acknowledged_by"], found["note"], found["cleared_because"]) == ("ann", "I look", "it returned")
    assert found["raised_at"] < found["acknowledged_at"] < found["cleared_at"]
    assert (found["number"], found["signal"], found["model_version"]) == (1, "latency", 1)


def test_the_list_has_the_newest_first_and_says_how_many_there_are(log):
    projector = Projector()
    history = [message for number in range(1, 8) for message in (raised(number=number), cleared(number=number))]
    for stored in log(*history, raised("error_rate"), raised(number=8), noted("prompt_length")):
        projector.apply(stored)
    answer = alarm_list(projector, 10)
    assert [alarm["alarm_id"] for alarm in answer["alarms"]] == ["code-1-latency-8", "code-1-error_rate-1"]
    assert (answer["matching"], answer["total"]) == (2, 9)
    assert len(alarm_list(projector, 3, every=True)["alarms"]) == 3


def test_an_answer_about_any_number_of_alarms_fits_into_a_message(log):
    projector = Projector()
    for stored in log(*(raised(number=number, detail="x" * 2_000) for number in range(1, 1_200))):
        projector.apply(stored)
    answer = Answers(projector).answer("alarm_list", Question(every=True, limit=10**9))
    assert len(answer) < 600_000
    found = orjson.loads(answer)
    assert found["matching"] == 1_199
    assert found["alarms"][0]["number"] == 1_199


def test_an_alarm_whose_beginning_the_log_has_lost_is_none(log):
    projector = Projector()
    for stored in log(cleared(), noted("error_rate")):
        projector.apply(stored)
    assert alarm_list(projector, 10, every=True)["alarms"] == []
    assert Projector.restore(projector.save()).render("alarms") == projector.render("alarms")
