"""The card's numbers follow from the log, and from nothing else."""

import json
import shlex
from dataclasses import replace

import pytest
from rich.console import Console

from ropewalk.events.checkpoint import CheckpointValidated
from ropewalk.events.monitoring import AlarmCleared
from ropewalk.events.run import (
    CancelRun,
    RunCancelled,
    RunCompleted,
    RunFailed,
    StageCompleted,
    StageStarted,
    SubmitRun,
)
from ropewalk.events.training import TrainingInterrupted, TrainingResumed, TrainingValidated, TrialCompleted
from ropewalk.report.card import STAGES, LossPoint
from ropewalk.report.collect import CardEvidence, collect
from ropewalk.report.curve import curve_of
from ropewalk.report.facts import key_facts
from ropewalk.report.html import render_html
from ropewalk.report.terminal import terminal_card
from ropewalk.report.traffic import percentile, traffic_line

RUN = "python-stdlib-261123-101500-1a2b"


def test_card_has_the_outcome_and_the_identity_of_the_run(demo_evidence):
    card = collect(demo_evidence)

    assert (card.run_id, card.recipe, card.outcome) == (RUN, "python-stdlib", "promoted")
    assert (card.model, card.model_version) == ("pycode", 1)


def test_stages_come_in_the_order_of_the_chain_with_time_and_recorded_cost(demo_evidence):
    card = collect(demo_evidence)

    assert [stage.name for stage in card.stages] == [name for name in STAGES if name != "report"]
    train = next(stage for stage in card.stages if stage.name == "train")
    assert (train.seconds, train.cpu_seconds) == (192.4, 341.0)
    assert train.usd == pytest.approx(341.0 / 3600 * 0.04)
    assert card.usd == pytest.approx(card.cpu_seconds / 3600 * 0.04)


def test_stage_without_a_recorded_cost_is_not_priced(demo_evidence):
    unpriced = [item for item in demo_evidence.timeline if item.message.family != "monitoring"]

    card = collect(CardEvidence(timeline=unpriced))

    assert card.usd is None


def test_stage_completed_twice_is_noticed(demo_evidence, at):
    again = at(900.0, StageCompleted(run_id=RUN, stage="train", epoch=2, seconds=1.0))

    assert collect(demo_evidence).not_once(["train"]) == []
    assert collect(CardEvidence(timeline=[*demo_evidence.timeline, again])).not_once(["train"]) == ["train 2"]


def test_the_documents_of_the_dataset_add_up(demo_evidence):
    data = collect(demo_evidence).dataset

    assert data.num_inputs == data.num_kept + data.num_held_out + sum(data.dropped.values())


def test_chosen_trial_is_the_complete_one_with_the_searched_parameters(demo_evidence):
    card = collect(demo_evidence)

    assert [trial.trial for trial in card.trials if card.is_chosen(trial)] == [2]


def test_redone_trial_counts_once_with_its_last_result(demo_evidence, at):
    params = {"lr_scale": 0.5}
    redone = TrialCompleted(run_id=RUN, trial=0, status="complete", params=params, loss=4.0, num_steps=81, seconds=1.0)

    trials = collect(CardEvidence(timeline=[*demo_evidence.timeline, at(900.0, redone)])).trials

    assert [trial.loss for trial in trials if trial.trial == 0] == [4.0]


def test_interruption_is_joined_with_the_resumption_that_followed(demo_evidence):
    (interruption,) = collect(demo_evidence).interruptions

    assert (interruption.last_step, interruption.resume_step, interruption.seconds_lost) == (364, 351, 9.4)


def test_two_losses_keep_their_own_recovery_times(at):
    timeline = [
        at(1, TrainingInterrupted(run_id=RUN, epoch=1, attempt=1, cause="a", last_step=10, detail="")),
        at(2, TrainingResumed(run_id=RUN, epoch=1, attempt=2, resume_step=5, checkpoint_id="", seconds_lost=3.0)),
        at(3, TrainingInterrupted(run_id=RUN, epoch=1, attempt=2, cause="b", last_step=20, detail="")),
    ]

    first, second = collect(CardEvidence(timeline=timeline)).interruptions

    assert first.seconds_lost == 3.0
    assert second.seconds_lost is None


def test_traffic_counts_people_only_and_takes_latency_from_successes(demo_evidence):
    traffic = traffic_line(demo_evidence.requests)

    assert (traffic.num_requests, traffic.num_errors) == (101, 1)
    assert traffic.p50_ms == pytest.approx(149.5)
    assert traffic.requests_per_s == pytest.approx(101 / 10.099, rel=1e-3)  # the last success ends at 9.9 s + 199 ms


def test_traffic_of_failures_only_has_no_latency(demo_evidence):
    failed = [row for row in demo_evidence.requests if row.status == 429]

    assert traffic_line(failed) is None


@pytest.mark.parametrize(("percent", "expected"), [(0, 1.0), (50, 2.5), (99, 3.97), (100, 4.0)])
def test_percentile_interpolates_as_numpy_does(percent, expected):
    assert percentile([4.0, 1.0, 3.0, 2.0], percent) == pytest.approx(expected)


def test_curve_separates_steps_that_were_lost_from_those_of_the_final_model():
    points = [LossPoint(attempt=1, step=step, loss=9.0) for step in (0, 1, 2, 3)]
    points += [LossPoint(attempt=2, step=step, loss=5.0) for step in (2, 3, 4)]

    curve = curve_of(points)

    assert curve.kept == ((0, 9.0), (1, 9.0), (2, 5.0), (3, 5.0), (4, 5.0))
    assert curve.lost == (((2, 9.0), (3, 9.0)),)


def test_long_curve_is_thinned_to_means():
    points = [LossPoint(attempt=1, step=step, loss=float(step % 2)) for step in range(4000)]

    curve = curve_of(points)

    assert len(curve.kept) == 400
    assert all(loss == 0.5 for _, loss in curve.kept)


def test_card_of_a_run_that_only_began_says_what_is_missing(demo_evidence):
    card = collect(CardEvidence(timeline=demo_evidence.timeline[:2]))

    assert card.outcome == "unfinished"
    assert (card.dataset, card.trained, card.ledger, card.gate) == (None,) * 4
    assert card.alarms == ()
    assert card.curl == ""


def test_alarm_about_prompts_comes_before_its_effects_and_false_alarms_before_the_watch_do_not_count(demo_evidence, at):
    alarm = next(item.message for item in demo_evidence.timeline if item.message.name == "alarm_raised")
    latency = alarm.model_copy(update={"signal": "latency"})
    begin = next(
        place for place, item in enumerate(demo_evidence.timeline) if getattr(item.message, "stage", "") == "watch"
    )
    timeline = [*demo_evidence.timeline]
    timeline.insert(begin + 1, at(370, latency))
    timeline.insert(begin, at(360, alarm.model_copy(update={"signal": "error_rate"})))

    assert [alarm.signal for alarm in collect(CardEvidence(timeline=timeline)).alarms] == ["prompt_novelty", "latency"]


def test_the_alarm_of_a_card_says_how_many_there_were_and_whether_they_are_over(demo_evidence, at):
    alarm = next(item.message for item in demo_evidence.timeline if item.message.name == "alarm_raised")
    second = alarm.model_copy(update={"alarm_id": "pycode-1-prompt_novelty-2", "number": 2})

    def row(*messages):
        timeline = [*demo_evidence.timeline, *(at(500 + place, message) for place, message in enumerate(messages))]
        return next(row for row in key_facts(collect(CardEvidence(timeline=timeline))) if row[0] == "drift alarm")

    def cleared(of):
        return AlarmCleared(run_id=of.run_id, alarm_id=of.alarm_id, model=of.model, reason="it returned")

    assert "over" not in row()[2]
    assert row(cleared(alarm))[2].endswith("(it is over)")
    assert row(second, cleared(alarm))[2].endswith("(2 alarms in all; 1 of them are over)")


def test_time_of_a_run_ends_with_its_ending_whatever_is_asked_under_its_id_later(demo_evidence, at):
    ended = next(place for place, item in enumerate(demo_evidence.timeline) if isinstance(item.message, RunCompleted))
    over = demo_evidence.timeline[: ended + 1]
    late = [at(900.0, SubmitRun(run_id=RUN, recipe={})), at(901.0, CancelRun(run_id=RUN))]

    card = collect(CardEvidence(timeline=[*over, *late]))

    assert card.seconds == collect(CardEvidence(timeline=over)).seconds
    assert collect(demo_evidence).seconds > card.seconds + 24  # the demo's own stages follow the ending


def test_stages_and_waiting_together_are_the_time_of_the_run(demo_evidence):
    card = collect(demo_evidence)

    assert sum(stage.seconds for stage in card.stages) + card.waiting_s == pytest.approx(card.seconds)
    assert card.waiting_s > 0


def test_failed_run_has_its_reason_the_time_of_the_stage_and_nothing_of_what_it_did_not_come_to(demo_evidence, at):
    reason = "the documents are smaller than one batch: add data"
    failed = [
        *demo_evidence.timeline[:2],
        at(2.0, StageStarted(run_id=RUN, stage="preprocess", epoch=1)),
        at(9.0, RunFailed(run_id=RUN, stage="preprocess", message=reason)),
        at(60.0, SubmitRun(run_id=RUN, recipe={})),
    ]

    card = collect(CardEvidence(timeline=failed))

    assert [(stage.name, stage.seconds) for stage in card.stages] == [("preprocess", 7.0)]
    assert [name for name, _, _ in key_facts(card)] == ["cost"]
    assert key_facts(card)[0][2].endswith("without preprocess, which did not end")
    console = Console(width=120)
    with console.capture() as captured:
        console.print(terminal_card(card))
    assert f"preprocess: {reason}" in captured.get()
    assert "bits per byte" not in captured.get()
    assert "Bits per byte on held-out files" not in render_html(card)


def test_a_run_that_was_cancelled_before_anything_was_committed_has_nothing_broken(demo_evidence, at):
    cancelled = at(9.0, RunCancelled(run_id=RUN, mode="now", reason="second by mistake"))
    nothing = replace(demo_evidence.ledger, num_steps=0, num_samples=0)

    card = collect(CardEvidence(timeline=[*demo_evidence.timeline[:2], cancelled], ledger=nothing))

    assert card.reason == "cancelled at once: second by mistake"
    assert ("ledger", "empty", "nothing was committed: there is nothing to verify") in key_facts(card)


def test_prompt_of_the_curl_line_is_of_the_kind_that_the_model_learned(demo_evidence):
    prose = [
        replace(item, message=item.message.model_copy(update={"recipe": {**item.message.recipe, "profile": "prose"}}))
        if item.message.name == "accepted"
        else item
        for item in demo_evidence.timeline
    ]

    assert '"prompt": "def add("' in collect(demo_evidence).curl
    assert '"prompt": "Once upon a time"' in collect(replace(demo_evidence, timeline=prose)).curl


def test_validations_of_checkpoints_are_drawn_rather_than_looks_in_the_training(demo_evidence, at):
    look = {"run_id": "r", "epoch": 1, "best_step": 90, "best_loss": 2.5, "num_tokens": 9}
    said = {"run_id": "r", "bits_per_byte": 1.0, "num_tokens": 9, "num_items": 4, "seconds": 1.0}
    told = [
        at(101, TrainingValidated(step=90, loss=2.5, **look)),
        at(103, CheckpointValidated(checkpoint_id="r-1-120", step=120, loss=2.4, **said)),
        at(102, CheckpointValidated(checkpoint_id="r-1-60", step=60, loss=2.9, **said)),
        at(104, CheckpointValidated(checkpoint_id="r-1-60", step=60, loss=2.8, **said)),  # written again
    ]
    card = collect(replace(demo_evidence, timeline=[*demo_evidence.timeline, *told]))
    assert [(each.step, each.loss) for each in card.looks] == [(60, 2.8), (120, 2.4)]


def test_the_curl_line_of_a_specialist_asks_it_as_its_task_is_asked(demo_evidence):
    task = {"prompt": "In short.", "max_answer_tokens": 40, "instruction": "x"}
    baked = [
        replace(item, message=item.message.model_copy(update={"recipe": {**item.message.recipe, "task": task}}))
        if item.message.name == "accepted"
        else item
        for item in demo_evidence.timeline
    ]
    line = collect(replace(demo_evidence, timeline=baked)).curl
    assert "/chat/completions" in line
    body = json.loads(shlex.split(line)[-1])
    assert [turn["role"] for turn in body["messages"]] == ["system", "user"]
    assert (body["max_tokens"], body["temperature"]) == (40, 0)
