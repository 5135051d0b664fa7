"""Raters are invited, listed and revoked by commands, with the evaluator and its page as a process of its own."""

import json
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from parts.task_set_files import write_task_set
from typer.testing import Result

from ropewalk.events.label import LabelGiven
from ropewalk.events.task_set import TaskSetRegistered
from ropewalk.tasksets.shelf import read_task_set

Ropewalk = Callable[..., Result]


@pytest.fixture
def review_url(monkeypatch: pytest.MonkeyPatch) -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    monkeypatch.setenv("ROPEWALK_EVALUATOR_REVIEW_PORT", str(port))
    monkeypatch.setenv("ROPEWALK_CLIENT_REVIEW_URL", f"http://127.0.0.1:{port}")
    return f"http://127.0.0.1:{port}"


@pytest.fixture
def page(review_url: str, evaluator: subprocess.Popen[bytes]) -> Iterator[httpx.Client]:
    """The page, once it answers."""
    with httpx.Client(base_url=review_url) as client:
        deadline = time.monotonic() + 30
        while True:
            try:
                client.get("/review.css").raise_for_status()
                break
            except httpx.TransportError:
                assert time.monotonic() < deadline, "it never came up"
                time.sleep(0.05)
        yield client


def a_label(rater: str, position: int, grade: int, seconds: float) -> LabelGiven:
    return LabelGiven(
        task_set_id="counting",
        version=1,
        sheet_id=f"sheet-{position}",
        item_id=f"item-{position}",
        criterion="correctness",
        scale="0-3",
        rater=rater,
        grade=grade,
        seconds=seconds,
        position=position,
    )


def test_a_rater_is_invited_counted_and_turned_away(
    page: httpx.Client, review_url: str, ropewalk: Ropewalk, publish: Callable[..., None], tmp_path: Path
) -> None:
    refused = ropewalk("eval", "raters", "invite", "counting", "anna")
    assert isinstance(refused.exception, Exception)
    assert str(refused.exception) == "there is no task set counting: `ropewalk taskset add` registers one"
    wrong = ropewalk("eval", "raters", "invite", "counting", "Anna B")
    assert "rater 'Anna B' is no name" in str(wrong.exception)
    nobody = ropewalk("eval", "raters", "list", "nosuch")
    assert str(nobody.exception) == "there is no task set nosuch: `ropewalk taskset add` registers one"
    publish(TaskSetRegistered(**read_task_set(write_task_set(tmp_path / "made")).facts()))

    assert "nobody is invited to counting yet" in ropewalk("eval", "raters", "list", "counting").output
    link = json.loads(ropewalk("eval", "raters", "invite", "counting", "anna", "--days", "2", "--json").stdout)
    assert link["url"].startswith(f"{review_url}/r/counting/")
    assert link["until_unix"] == pytest.approx(time.time() + 2 * 86_400, abs=60)
    path = link["url"].removeprefix(review_url)
    assert page.get(path).status_code == 200
    assert "Nothing is left to label" in page.get("/r/counting").text
    own = ropewalk("eval", "label", "counting", "--rater", "bert")
    assert "bert may label until" in own.output
    assert own.output.split()[-1].startswith(f"{review_url}/r/counting/")

    said = [("anna", 1, 2, 10.0), ("anna", 2, 1, 30.0), ("bert", 1, 2, 5.0), ("carl", 1, 0, 5.0)]
    publish(*(a_label(*each) for each in said))
    found = {
        each["rater"]: each for each in json.loads(ropewalk("eval", "raters", "list", "counting", "--json").stdout)
    }
    assert {name: each["num_labels"] for name, each in found.items()} == {"anna": 2, "bert": 1, "carl": 1}
    assert (found["anna"]["median_s"], found["anna"]["agreement"], found["anna"]["num_shared"]) == (20.0, 0.5, 1)
    assert found["carl"]["agreement"] == 0.0

    assert "no link of anna is good any more" in ropewalk("eval", "raters", "revoke", "counting", "anna").output
    assert page.get(path).status_code == 403
    assert page.get("/r/counting").status_code == 403
    shown = ropewalk("eval", "raters", "list", "counting").output
    assert "revoked" in shown
    assert "50% of 1 sheets" in shown
    unknown = ropewalk("eval", "raters", "revoke", "counting", "dora")
    assert "there is no rater 'dora' of counting; there are: anna, bert, carl" in str(unknown.exception)
