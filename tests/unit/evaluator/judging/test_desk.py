"""A judge is asked in a child, registered with a card, audited by later labels, and suspended when it drifts."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from parts.judge_files import a_recorded_judge, labelled, write_lines
from parts.submissions import Past

from ropewalk.bus.codec import Stored
from ropewalk.evaluator.adapters.judging.desk import JudgesDesk
from ropewalk.evaluator.contract import JUDGES
from ropewalk.evaluator.settings import Settings
from ropewalk.events.base import Message
from ropewalk.events.envelope import Envelope
from ropewalk.events.judge import AuditJudge, JudgeAudited, JudgeRefused, JudgeRegistered, JudgeSuspended, RegisterJudge
from ropewalk.projections.judges import standing_of_judge
from ropewalk.storage.local import LocalObjects
from ropewalk.tasksets.judges.labels import JudgedAnswer, read_labels
from ropewalk.tasksets.judges.shelf import ReadJudge, store_judge

LATER = labelled(60, first=100)


def drifting(given: JudgedAnswer) -> float:
    """As people do, until question 130."""
    number = int(given.question.split()[2][1:])
    true = given.labels["anna"]
    return true if number < 130 else max(0.0, true - 1.0)


@pytest.fixture
def judge(tmp_path: Path) -> ReadJudge:
    return a_recorded_judge(tmp_path / "made", drifting, more=LATER)


@pytest.fixture
def desk(tmp_path: Path) -> JudgesDesk:
    return JudgesDesk(LocalObjects(tmp_path / "store"), JUDGES, Settings(state_dir=tmp_path))


async def said(
    desk: JudgesDesk, tmp_path: Path, found: ReadJudge, past: Sequence[Message], *, audit: bool = False
) -> Sequence[Message]:
    store_judge(LocalObjects(tmp_path / "store"), found, tmp_path / "scratch")
    request = (AuditJudge if audit else RegisterJudge)(judge_id="replay", content=found.content)
    envelope = Envelope(id="r1", type=request.type_name(), source="test", time="", run_id="", cause_id="")
    return await desk.answer(Stored(1, datetime.now(UTC), envelope, request), Past(*past))  # type: ignore[arg-type]


def with_labels(judge: ReadJudge, path: Path, records: list[dict[str, object]]) -> ReadJudge:
    body = write_lines(path, records).read_bytes()
    return replace(judge, labels=body, answers=read_labels(body, judge.rubric, "more"))


async def test_the_life_of_a_judge(desk: JudgesDesk, tmp_path: Path, judge: ReadJudge) -> None:
    (registered,) = await said(desk, tmp_path, judge, [])
    assert isinstance(registered, JudgeRegistered)
    (card,) = registered.card.criteria
    assert (card.num_labels, card.num_ungraded, card.num_raters) == (40, 0, 3)
    assert registered.card.verdict == "replace"
    assert {"padded copy", "blank answer", "injected line", "asked again"} <= {each.name for each in card.figures}
    (refused,) = await said(desk, tmp_path, judge, [registered])
    assert isinstance(refused, JudgeRefused)
    assert "is registered with just this" in refused.reason

    sound = with_labels(judge, tmp_path / "sound", LATER[:30])
    (audited,) = await said(desk, tmp_path, sound, [registered], audit=True)
    assert isinstance(audited, JudgeAudited)
    assert (audited.num_new, audited.states[0].evidence) == (30, pytest.approx(0.0, abs=2.0))

    drifted = with_labels(judge, tmp_path / "drifted", LATER)
    again, suspended = await said(desk, tmp_path, drifted, [registered, audited], audit=True)
    assert isinstance(again, JudgeAudited)
    assert again.num_new == 30, "the first 30 were known"
    assert isinstance(suspended, JudgeSuspended)
    assert "correctness by -" in suspended.reason
    past = [registered, audited, again, suspended]
    standing = standing_of_judge(past)
    assert standing is not None
    assert standing.is_suspended

    (refused,) = await said(desk, tmp_path, judge, past)
    assert isinstance(refused, JudgeRefused)
    assert "with other labels only" in refused.reason
    (refused,) = await said(desk, tmp_path, sound, past, audit=True)
    assert isinstance(refused, JudgeRefused)
    (back,) = await said(desk, tmp_path, drifted, past)
    assert isinstance(back, JudgeRegistered)
    standing = standing_of_judge([*past, back])
    assert standing is not None
    assert not standing.is_suspended


async def test_what_cannot_be_asked_is_refused_in_a_sentence(
    desk: JudgesDesk, tmp_path: Path, judge: ReadJudge
) -> None:
    other = judge.definition.model_copy(update={"recorded": "", "model": "nobody"})
    (refused,) = await said(desk, tmp_path, replace(judge, definition=other, recorded=b""), [])
    assert isinstance(refused, JudgeRefused)
    assert "there is no imported model nobody" in refused.reason
    (refused,) = await said(desk, tmp_path, judge, [], audit=True)
    assert isinstance(refused, JudgeRefused)
    assert "was never registered" in refused.reason
