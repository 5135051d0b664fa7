"""`report` on a real log: any run has a card."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from ropewalk.events.base import Message
from ropewalk.events.evaluation import EvaluationCompleted
from ropewalk.events.run import RunAccepted, RunCancelled, RunFailed, RunRejected, StageStarted, SubmitRun
from ropewalk.recipes.builtin import resolve_recipe
from ropewalk.storage.local import LocalObjects

Ropewalk = Callable[..., Result]
RECIPE = resolve_recipe({"base": "python-stdlib", "name": "mine"})
ACCEPTED = RunAccepted(run_id="r", recipe=RECIPE.as_json(), recipe_sha256=RECIPE.sha256())
SUBMITTED = SubmitRun(run_id="r", recipe={"base": "python-stdlib"})


@pytest.mark.parametrize(
    ("messages", "outcome", "words"),
    [
        ((SUBMITTED,), "unfinished", "no recipe was accepted"),
        ((ACCEPTED, StageStarted(run_id="r", stage="ingest", epoch=1)), "unfinished", "name: mine"),
        (
            (ACCEPTED, RunFailed(run_id="r", stage="ingest", message="<b>no</b> data")),
            "failed",
            "&lt;b&gt;no&lt;/b&gt;",
        ),
        (
            (ACCEPTED, RunCancelled(run_id="r", mode="now", reason="wrong data")),
            "cancelled",
            "cancelled at once: wrong data",
        ),
        ((SUBMITTED, RunRejected(run_id="r", violations=("field 'x'",))), "refused", "field &#39;x&#39;"),
    ],
)
def test_every_run_has_a_report_card_however_it_ended(
    ropewalk: Ropewalk,
    publish: Callable[..., None],
    tmp_path: Path,
    messages: tuple[Message, ...],
    outcome: str,
    words: str,
) -> None:
    publish(*messages)
    done = ropewalk("report", "r", "--into", str(tmp_path / "here"), "--json")
    assert done.exit_code == 0, repr(done.exception)
    told = json.loads(done.stdout)
    assert told["outcome"] == outcome
    assert words in Path(told["html"]).read_text()
    assert Path(told["png"]).read_bytes().startswith(b"\x89PNG")


def test_the_card_shows_what_the_model_said_when_it_was_judged(
    ropewalk: Ropewalk, publish: Callable[..., None], tmp_path: Path
) -> None:
    folder = tmp_path / "evaluation"
    folder.mkdir()
    said = [
        {"path": f"{name}.py", "prompt_end": "def add(<", "completion": f" {name}\x1b[2J):\n\treturn", "parsed": True}
        for name in ("a", "a", "b")
    ]
    (folder / "completions.jsonl").write_text("".join(json.dumps(each) + "\n" for each in said))
    LocalObjects(tmp_path / "state" / "objects").publish(folder, "evaluations/x", {})
    publish(ACCEPTED, EvaluationCompleted(run_id="r", checkpoint_id="c", uri="evaluations/x", estimates=()))

    page = Path(json.loads(ropewalk("report", "r", "--into", str(tmp_path), "--json").stdout)["html"]).read_text()

    assert "<pre>def add(&lt;<b> a\\x1b[2J):\n\treturn</b></pre>" in page
    assert page.count('class="sample"') == 2  # one of a file


def test_a_run_that_does_not_exist_has_no_card(ropewalk: Ropewalk, publish: Callable[..., None]) -> None:
    publish(SUBMITTED)
    assert "there is no run 'other'" in str(ropewalk("report", "other").exception)
