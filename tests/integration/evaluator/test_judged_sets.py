"""A run whose answers people judge: it waits for labels, is looked at again, and judges that drift lose their say."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from parts.judge_files import a_card, labelled, write_lines
from parts.judged_runs import Sets, an_export, judged
from parts.writing_endpoint import a_writing_endpoint

from ropewalk.bus.bus import Bus
from ropewalk.delivery.outcome import Done
from ropewalk.evaluator.adapters.judging.examining import HearingOrder, hear
from ropewalk.evaluator.adapters.labelling.wanted import labels_of, look_again_if_complete, wanted_now
from ropewalk.evaluator.domain.labelling.gold import digest_of
from ropewalk.evaluator.domain.labelling.queue import seeded
from ropewalk.evaluator.domain.labelling.sheets import PAIR, Sheet
from ropewalk.evaluator.handlers import evaluate_or_defer, judge_again
from ropewalk.events.evaluation import EvaluationReopened, GateDecided, JudgeAgain
from ropewalk.events.judge import CriterionCard, JudgeAudited, JudgeRegistered, JudgeSuspended, Residuals
from ropewalk.events.label import CANNOT_JUDGE, LabelGiven, LabelsWanted
from ropewalk.stages.context import StageContext
from ropewalk.tasksets.judges.rubric import RUBRICS, RubricFile
from ropewalk.tasksets.judges.shelf import key_of, read_judge, store_judge
from ropewalk.tasksets.yaml_file import read_yaml

ITEMS = [{"question": f"# {n}\ndef step_{n % 5}(value):\n    return value +", "group": f"g{n}"} for n in range(44)]
SEALED = {"dev": 0.0, "calibration": 0.0, "gate": 1.0}
PRIMARY = {"role": "primary", "margin": 0.05}
JUDGED: dict[str, Any] = {
    "type": "judge",
    "criteria": ["correctness"],
    "splits": SEALED,
    "max_tokens": 4,
    "gate": {"correctness": PRIMARY},
}


@pytest.fixture
def sets(world, tmp_path: Path) -> Sets:
    for folder in ("sheets", "judged_answers", "judge_answers"):
        for key in world.objects.list(folder):
            world.objects.delete(key)
    return Sets(world, tmp_path)


def rightly(sheet: Sheet) -> int:
    """Right is a digit from 0 to 2; the better of two is the one that is right."""
    good = [bool(re.fullmatch(r"[012]", each)) for each in sheet.answers]
    if sheet.scale == PAIR:
        return 1 + good[1] - good[0]
    return 3 if good[0] else 0


def by_chance(sheet: Sheet) -> int:
    """Good or very good."""
    return 2 + (seeded(sheet.item_id, *sheet.answers) < 0.5)


def a_label(sheet: Sheet, grade: int, position: int, rater: str = "anna") -> LabelGiven:
    return LabelGiven(
        task_set_id="answers",
        version=1,
        sheet_id=sheet.sheet_id,
        item_id=sheet.item_id,
        criterion=sheet.criterion,
        scale=sheet.scale,
        rater=rater,
        grade=grade,
        seconds=2.0,
        position=position,
    )


def labels(stage, wanted: tuple[Sheet, ...], grade: Any = rightly) -> None:
    before = sum(isinstance(each, LabelGiven) for each in stage.bus.messages)
    stage.bus.messages += [a_label(sheet, grade(sheet), before + place) for place, sheet in enumerate(wanted, start=1)]


async def look_at(stage, export: str) -> tuple[Any, ...]:
    said = await evaluate_or_defer(stage, an_export(export), judged)
    stage.bus.messages += said
    return said


async def asked_again(stage) -> None:
    """What the page has the evaluator do after each label, and what the evaluator does."""
    stage.bus.messages.append(an_export("longer"))
    before = len(stage.bus.messages)
    await look_again_if_complete(stage.bus, stage.objects, "answers")
    assert [type(each) for each in stage.bus.messages[before:]] == [JudgeAgain]
    outcome = await judge_again(stage.bus.messages.pop(), stage.bus)
    assert isinstance(outcome, Done)
    stage.bus.messages += outcome.messages


@pytest.mark.slow  # a real server, and two real child processes that load models
async def test_a_run_waits_for_labels_and_is_promoted_by_them_over_the_real_log(sets: Sets, bus: Bus) -> None:
    sets.add("answers", ITEMS, **JUDGED)
    stage = sets.stage("untrained", defer_hours=1)
    for place, fact in enumerate([an_export("longer"), *stage.bus.messages]):
        await bus.publish(fact, cause_id="test", key=str(place))
    stage = StageContext(
        stage="evaluate",
        run_id="r",
        epoch=1,
        attempt=1,
        cause_id="test",
        recipe=stage.recipe,
        bus=bus,
        objects=stage.objects,
        scratch=stage.scratch,
    )
    said = await evaluate_or_defer(stage, an_export("longer"), judged)
    await bus.publish_all(said, cause_id="first look")
    wanted, decided = said[-2:]
    assert isinstance(decided, GateDecided)
    assert isinstance(wanted, LabelsWanted)
    assert (decided.word, decided.comparison.num_items, wanted.raters_each) == ("deferred", 0, 1)
    assert any("`ropewalk eval raters invite answers RATER`" in each for each in decided.reasons), decided.reasons
    ((waiting),) = await wanted_now(bus, stage.objects, "answers")
    assert (waiting.run_id, len(waiting.sheets)) == ("r", wanted.num_sheets)
    given = [a_label(sheet, rightly(sheet), place) for place, sheet in enumerate(waiting.sheets, start=1)]
    for each in given[:-1]:
        await bus.publish(each)
    await look_again_if_complete(bus, stage.objects, "answers")
    assert (await bus.last(JudgeAgain, "r")) is None
    await bus.publish(given[-1])
    await look_again_if_complete(bus, stage.objects, "answers")
    request = await bus.last(JudgeAgain, "r")
    assert request is not None
    outcome = await judge_again(request, bus)
    assert isinstance(outcome, Done)
    await bus.publish_all(outcome.messages, cause_id="asked again")
    *_, decided = await evaluate_or_defer(stage, an_export("longer"), judged)
    assert decided.decision == "promote", decided.reasons
    assert (decided.look, decided.comparison.metric) == (2, "answers@1/correctness_gain")
    assert decided.comparison.lower > 0.05
    assert decided.comparison.method.startswith("paired mean of drawn labels")


async def test_what_cannot_be_judged_is_done_and_counts_for_nothing(sets: Sets) -> None:
    sets.add("answers", ITEMS, **JUDGED)
    stage = sets.stage("untrained", defer_hours=1)
    await look_at(stage, "longer")
    (waiting,) = await wanted_now(stage.bus, stage.objects, "answers")
    labels(stage, waiting.sheets, lambda _: CANNOT_JUDGE)
    await asked_again(stage)
    *_, again, decided = await look_at(stage, "longer")
    assert (decided.word, decided.comparison.num_items) == ("deferred", 0)
    assert again.num_sheets > len(waiting.sheets), "others are drawn"
    assert decided.num_left == 4


async def test_without_hours_to_wait_nobody_is_asked_to_label(sets: Sets) -> None:
    sets.add("answers", ITEMS, **JUDGED)
    stage = sets.stage("untrained")
    said = await look_at(stage, "longer")
    assert said[-1].word == "need_more"
    assert not any(isinstance(each, LabelsWanted) for each in said)
    assert await wanted_now(stage.bus, stage.objects, "answers") == ()


async def test_the_same_labels_up_to_a_sequence_are_the_same_estimate(sets: Sets) -> None:
    sets.add("answers", ITEMS, **JUDGED)
    stage = sets.stage("untrained", defer_hours=1)
    await look_at(stage, "longer")
    (waiting,) = await wanted_now(stage.bus, stage.objects, "answers")
    labels(stage, waiting.sheets)
    await asked_again(stage)
    _, *_, first = await judged(stage, an_export("longer"))
    report = json.loads((stage.objects.fetch(first.evaluation_uri) / "report.json").read_text())
    until = report["task_sets"][0]["labels_until"]
    before, _ = await labels_of(stage.bus, "answers", until)
    labels(stage, waiting.sheets, lambda _: 1)  # of somebody who came later
    assert (await labels_of(stage.bus, "answers", until))[0] == before
    stage.bus.messages[:] = stage.bus.messages[:until]
    stage.bus.messages.append(EvaluationReopened(run_id="r", checkpoint_id="r-7-40", look=2))
    stage.objects.delete(first.evaluation_uri)
    *_, second = await judged(stage, an_export("longer"))
    assert second.comparison.model_dump_json() == first.comparison.model_dump_json()


def a_judge(sets: Sets, url: str, residual: float = 0.0) -> JudgeRegistered:
    """Registered by 40 labels from which it was off by so much."""
    folder = sets.folder / "judge"
    folder.mkdir()
    (folder / "judge.yaml").write_text(
        f"id: big\nuse_case: tests\nendpoint: {{url: '{url}', model: big, logprobs: false}}\n"
    )
    found = read_judge(folder / "judge.yaml", write_lines(folder / "labels.jsonl", labelled()))
    store_judge(sets.world.objects, found, sets.folder / "judge-scratch")
    place = sets.world.objects.fetch(key_of(found.content))
    identity, _, _ = hear(HearingOrder(judge=place, model=None, digest="", key="", minutes=1, threads=1), [], print)
    correctness = CriterionCard(
        criterion="correctness",
        top_grade=3,
        num_items=40,
        num_ungraded=0,
        num_labels=40,
        num_raters=3,
        figures=(),
        economy="",
        residuals=Residuals(count=40, mean=residual, deviations=4.0),
        verdict="assist",
        reasons=(),
    )
    card = a_card(identity).model_copy(
        update={"rubric_digest": found.rubric.digest, "criteria": (correctness,), "valid_until": "2099-01-01T00:00:00Z"}
    )
    return JudgeRegistered(judge_id="big", content=found.content, card=card)


def of_the_answer(asked: dict[str, Any], wrong: str, right: str) -> str:
    """What a judge says that sees whether an answer is right."""
    last = asked["messages"][-1]["content"].rpartition("<<<answer")[2]
    return right if re.search(r"\n[012]\nanswer", last) else wrong


async def test_a_judge_is_asked_once_and_named_with_what_it_is_worth(sets: Sets) -> None:
    sets.add("answers", ITEMS, **JUDGED | {"judges": ["big", "unknown"]})
    stage = sets.stage("untrained", defer_hours=1)
    with a_writing_endpoint(lambda asked: of_the_answer(asked, "0", "3")) as endpoint:
        stage.bus.messages.append(a_judge(sets, endpoint.url))
        first = await look_at(stage, "longer")
        num_asked = len(endpoint.asked)
        assert 0 < num_asked <= 2 * len(ITEMS)
        assert any("judge unknown is left out: it is not registered" in each for each in first[-1].reasons)
        (waiting,) = await wanted_now(stage.bus, stage.objects, "answers")
        labels(stage, waiting.sheets)
        await asked_again(stage)
        completed, *facts, decided = await look_at(stage, "longer")
        assert len(endpoint.asked) == num_asked
    assert decided.decision == "promote", decided.reasons
    assert "judged by big, which makes a label worth " in decided.comparison.method
    assert [type(each) for each in facts] == [JudgeAudited]
    assert facts[0].num_new == len({(each.item_id, each.answers) for each in waiting.sheets})
    rows = [json.loads(line) for line in (stage.objects.fetch(completed.uri) / "scores.jsonl").read_text().splitlines()]
    scores = [row for row in rows if row["metric"] == "answers@1/correctness"]
    assert len(scores) == len(ITEMS)
    assert set(scores[0]["values"]) == {"candidate", "production"}


async def test_a_judge_that_drifts_is_suspended_and_the_gate_needs_more(sets: Sets) -> None:
    sets.add("answers", ITEMS, **JUDGED | {"judges": ["big"]})
    stage = sets.stage("trained", defer_hours=1)
    with a_writing_endpoint(lambda _: "0") as endpoint:
        stage.bus.messages.append(a_judge(sets, endpoint.url))
        await look_at(stage, "longer")
        (waiting,) = await wanted_now(stage.bus, stage.objects, "answers")
        criteria = read_yaml(RUBRICS / "default.yaml", RubricFile, "rubric").criteria
        assert {sheet.rubric for sheet in waiting.sheets} == {digest_of("correctness", criteria)}
        labels(stage, waiting.sheets, by_chance)
        await asked_again(stage)
        said = await look_at(stage, "longer")
        assert [type(each) for each in said[1:3]] == [JudgeAudited, JudgeSuspended]
        decided = said[-1]
        assert (decided.decision, decided.word) == ("need_more", "deferred")
        assert any("judge big was suspended: its grades moved away" in each for each in decided.reasons)
        assert decided.comparison.method.startswith("paired mean of drawn labels"), "it has no say any more"
        (waiting,) = await wanted_now(stage.bus, stage.objects, "answers")
        labels(stage, waiting.sheets, by_chance)
        await asked_again(stage)
        later = await look_at(stage, "longer")
    assert not any(isinstance(each, JudgeAudited | JudgeSuspended) for each in later)
    assert any("judge big is left out: it is suspended" in each for each in later[-1].reasons)


async def test_comparisons_are_asked_in_both_orders_and_a_taste_for_the_first_cancels(sets: Sets) -> None:
    pairwise = {"type": "pairwise", "gate": {"preferred": PRIMARY}, "judges": ["big"]}
    sets.add("answers", ITEMS, **JUDGED | pairwise)
    stage = sets.stage("untrained", defer_hours=1)
    with a_writing_endpoint(lambda _: "0") as endpoint:  # it always likes the first
        stage.bus.messages.append(a_judge(sets, endpoint.url))
        await look_at(stage, "longer")
        num_pairs = len(endpoint.asked) // 2
        (waiting,) = await wanted_now(stage.bus, stage.objects, "answers")
        labels(stage, waiting.sheets)
        await asked_again(stage)
        *_, decided = await look_at(stage, "longer")
    assert decided.decision == "promote", decided.reasons
    assert decided.comparison.metric == "answers@1/preferred_gain"
    report = json.loads((stage.objects.fetch(decided.evaluation_uri) / "report.json").read_text())
    (remark,) = report["task_sets"][0]["remarks"]
    assert f"compared {num_pairs} pairs in both orders: 0 ours, 0 theirs, 0 tie, {num_pairs} inconsistent" in remark
    assert "standing first is worth +" in remark
