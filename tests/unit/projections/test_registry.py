"""Models, their versions and names over time, and what was behind a name at a moment."""

from datetime import timedelta

import pytest

from ropewalk.cli.commands.replay import _behind
from ropewalk.events.checkpoint import ModelPromoted, ParityCertified
from ropewalk.events.evaluation import Estimate, GateDecided
from ropewalk.events.serving import ModelDeployed, ModelRetired, RouteTarget, ServingFailed, TrafficShifted
from ropewalk.projections.live_at import live_at
from ropewalk.projections.projector import Projector

DIFFERENCE = Estimate(metric="m", value=0, lower=0, upper=0, level=0.95, num_items=1, method="t")


def deployed(version, run_id="r"):
    return ModelDeployed(
        run_id=run_id,
        model="code",
        model_version=version,
        checkpoint_id=f"c{version}",
        checkpoint_uri="u",
        export_uri="e",
        evaluation_uri="v",
        openai_url="http://here/v1",
        triton_grpc="t",
        triton_model="m",
        load_s=1.0,
    )


def shifted(version, alias="production"):
    return TrafficShifted(
        run_id="r",
        model="code",
        alias=alias,
        model_version=version,
        previous_version=version - 1,
        checkpoint_id=f"c{version}",
    )


def retired(version):
    return ModelRetired(run_id="r", model="code", model_version=version)


def decided(decision, checkpoint_id="c1"):
    return GateDecided(
        run_id="r",
        checkpoint_id=checkpoint_id,
        export_uri="e",
        evaluation_uri="v",
        decision=decision,
        reasons=("because",),
        baseline="b",
        comparison=DIFFERENCE,
    )


def certified(passed, version=1):
    return ParityCertified(
        run_id="r",
        model="code",
        model_version=version,
        checkpoint_id=f"c{version}",
        paths=("local", "triton"),
        num_prompts=1,
        num_tokens=1,
        passed=passed,
        differences=(),
    )


def promoted(version=1):
    return ModelPromoted(
        run_id="r",
        model="code",
        model_version=version,
        alias="production",
        checkpoint_id=f"c{version}",
        export_uri="e",
        manifest_sha256="0",
        evaluation_uri="v",
    )


def projected(stored_messages):
    projector = Projector(["registry", "lineage"])
    for stored in stored_messages:
        projector.apply(stored)
    return [{key: projector.view(name, key) for key in projector.keys(name)} for name in projector.names]


def names_at(stored_messages, place, seconds=0.0):
    """Names and versions just when the message at this place was stored, or some seconds later."""
    moment = stored_messages[place].time + timedelta(seconds=seconds)
    return {live.name: live.version for live in live_at(*projected(stored_messages), moment)}


def test_a_version_answers_from_its_deployment_until_it_is_retired(log):
    story = log(deployed(1), deployed(2), retired(1))

    assert names_at(story, 0, -0.5) == {}
    assert names_at(story, 0) == {"code@1": 1}
    assert names_at(story, 1) == {"code@1": 1, "code@2": 2}
    assert names_at(story, 2) == {"code@2": 2}


def test_a_second_deployment_of_what_answers_begins_no_second_span(log):
    registry, _ = projected(log(deployed(1), deployed(1), retired(1), retired(1), deployed(1)))

    spans = registry["code"]["versions"]["1"]["up"]
    assert [(span["from_sequence"], span["until_sequence"]) for span in spans] == [(1, 3), (5, None)]


def test_an_alias_points_to_one_version_at_a_time(log):
    story = log(deployed(1), shifted(1), deployed(2), shifted(2), shifted(1, "canary"))

    assert names_at(story, 1)["code"] == 1
    assert names_at(story, 2)["code"] == 1
    assert names_at(story, 3)["code"] == 2
    assert names_at(story, 4) == {"code": 2, "code:canary": 1, "code@1": 1, "code@2": 2}


def split(weights):
    targets = tuple(RouteTarget(model_version=version, weight=weight) for version, weight in weights.items())
    return shifted(max(weights, key=weights.get)).model_copy(update={"targets": targets})


def test_an_alias_keeps_every_target_with_its_weight(log):
    story = log(deployed(1), deployed(2), split({1: 1, 2: 3}), retired(1))
    registry, lineage = projected(story)

    then, *_ = live_at(registry, lineage, story[2].time)
    assert (then.name, _behind(then)) == ("code", "code@1 (1 of 4), code@2 (3 of 4)")
    now, *_ = live_at(registry, lineage, story[3].time)
    assert _behind(now) == "code@1 (1 of 4, not loaded), code@2 (3 of 4)"
    assert set(lineage["r"]["endpoints"]["code:production"]) == {"code@1", "code@2"}


def test_an_alias_with_one_target_is_told_as_before_there_were_weights(log):
    story = log(deployed(1), shifted(1), retired(1))
    [live] = live_at(*projected(story), story[-1].time)

    assert _behind(live) == "code@1, which was not loaded"
    assert live.targets == ()


def test_a_shift_to_unknown_versions_only_leaves_the_alias_where_it_is(log):
    assert names_at(log(deployed(1), shifted(1), shifted(7)), 2) == {"code": 1, "code@1": 1}


def test_an_alias_whose_version_is_gone_does_not_answer(log):
    story = log(deployed(1), shifted(1), retired(1))
    [live] = live_at(*projected(story), story[-1].time)

    assert (live.name, live.answers) == ("code", False)


def test_the_facts_behind_a_name_are_those_known_at_that_moment(log):
    story = log(deployed(1), decided("promote"), certified(True), promoted(), shifted(1), certified(False))
    registry_and_lineage = projected(story)

    [then, _] = live_at(*registry_and_lineage, story[4].time)
    [now, _] = live_at(*registry_and_lineage, story[5].time)

    assert (then.gate["decision"], then.parity["passed"], then.promoted["alias"]) == ("promote", True, "production")
    assert then.parity["event_id"] == story[2].envelope.id
    assert (then.since_sequence, then.run_id, then.checkpoint_id) == (5, "r", "c1")
    assert now.parity["passed"] is False


def test_a_version_that_could_not_be_brought_up_is_known_with_its_reason(log):
    registry, _ = projected(log(ServingFailed(run_id="r", model="code", model_version=3, message="no memory")))

    assert registry["code"]["versions"]["3"]["failed"]["message"] == "no memory"
    assert registry["code"]["versions"]["3"]["up"] == []


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 1, 0, 2), (2, 3, 1, 0)])
def test_facts_of_a_version_may_come_in_any_order(log, order):
    story = log(deployed(1), certified(True), promoted(), shifted(1))

    assert projected(story[place] for place in order) == projected(story)
