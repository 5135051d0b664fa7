"""A metric is added in two files: its own, and the list. The rest follows, in a copy of the tree."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
METRICS = "services/ropewalk/evaluator/domain/metrics"

NEW_METRIC = '''
"""How often a continuation says something new."""

from ropewalk.evaluator.domain.metric import Finding, Metric
from ropewalk.evaluator.domain.statistics import example_share, paired_example_share
from ropewalk.evaluator.domain.tasks import TaskSet


def _score(scorer, items):
    said = scorer.complete(items)
    return said and [Finding(float(each.text not in item.text), each.text) for item, each in zip(items, said)]


METRIC = Metric(
    name="novelty",
    quantity="continuations that say something new",
    better="higher",
    unit="share",
    definition="Share of continuations that are no part of their prompt.",
    select=lambda documents, effort: TaskSet("beginnings", documents.items),
    score=_score,
    level=example_share,
    gain=paired_example_share,
)
'''

JUDGE = """
import json
from datetime import UTC, datetime

from rich.console import Console

from ropewalk.bus.codec import Stored
from ropewalk.evaluator.domain.estimates import Contest, estimate_all
from ropewalk.evaluator.domain.gate import Evidence, decide
from ropewalk.evaluator.domain.metric import Effort, ask
from ropewalk.evaluator.domain.metrics import METRICS
from ropewalk.evaluator.domain.report import DEFINITIONS, EvaluationReport
from ropewalk.evaluator.domain.roles import GATES
from ropewalk.evaluator.domain.tasks import Item, TaskSet
from ropewalk.evaluator.ports import Continuation
from ropewalk.events.envelope import Envelope
from ropewalk.events.run import RunAccepted
from ropewalk.report.collect import CardEvidence, collect
from ropewalk.report.html import render_html
from ropewalk.report.terminal import terminal_card


class Toy:
    def __init__(self, bits, said):
        self.bits_each, self.said = bits, said

    def takes(self, item):
        return True

    def bits(self, items):
        return [self.bits_each + number for number, _ in enumerate(items)]

    def complete(self, items):
        return [Continuation(self.said, True) for _ in items] if self.said else None


items = tuple(Item(str(number), f"{number}.txt", text="the same again ") for number in range(24))
scorers = {"candidate": Toy(20.0, "a surprise"), "production": Toy(30.0, "again"), "baseline_unigram": Toy(90.0, "")}
asked = ask(METRICS, scorers, TaskSet("documents", items), Effort(seed=1))
estimates = estimate_all(asked, Contest("c", "production", "m@1"), GATES["full"], 1)
common = {"margin": 0.0, "num_held_out": 24}
gate = decide(Evidence(estimates=estimates, rules=GATES["full"], opponent="m@1", num_seen=0, **common))
report = EvaluationReport(
    run_id="r", checkpoint_id="c", export_uri="e", dataset_version="d", evalset_uri="s", recipe_sha256="0", seed=1,
    num_bytes=1, num_files=24, num_documents=24, num_baseline_tokens=1, baseline="m@1", baseline_export_uri="",
    estimates=[each for each in estimates if each.role != "primary"],
    comparison=next(each for each in estimates if each.role == "primary"),
    decision=gate.decision, reasons=gate.reasons, **common,
)
messages = (RunAccepted(run_id="r", recipe={"name": "x"}, recipe_sha256="0"), *report.events("evaluations/c"))
envelope = Envelope(id="1", type="t", source="test", time="", run_id="r")
at = datetime(2026, 1, 1, tzinfo=UTC)
stored = [Stored(sequence=number, time=at, envelope=envelope, message=each) for number, each in enumerate(messages, 1)]
card = collect(CardEvidence(timeline=stored))
console = Console(width=150)
with console.capture() as captured:
    console.print(terminal_card(card))
print(json.dumps({
    "file": __import__("ropewalk.evaluator.domain.metrics", fromlist=["x"]).__file__,
    "estimates": {each.metric: [each.value, each.role] for each in estimates},
    "event": [each.metric for each in messages[1].estimates],
    "decision": messages[2].decision,
    "page": render_html(card),
    "terminal": captured.get(),
    "definition": DEFINITIONS.get("novelty", ""),
}))
"""


def add_the_metric(copy: Path) -> None:
    """One file and its place in the list."""
    (copy / METRICS / "novelty.py").write_text(NEW_METRIC.lstrip())
    listed = copy / METRICS / "__init__.py"
    text = listed.read_text()
    text = text.replace("domain.metrics import ", "domain.metrics import novelty, ")
    listed.write_text(re.sub(r"\)\s*$", "    novelty.METRIC,\n)\n", text))


def judge(copy: Path) -> dict:
    path = os.pathsep.join(str(copy / root) for root in ("libs", "services"))
    env = os.environ | {"PYTHONPATH": path}
    ran = subprocess.run([sys.executable, "-c", JUDGE], env=env, cwd=copy, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    told: dict = json.loads(ran.stdout)
    assert told["file"].startswith(str(copy))
    return told


def test_a_metric_of_two_files_is_estimated_told_and_drawn(tmp_path: Path) -> None:
    for root in ("libs", "services"):
        shutil.copytree(ROOT / root, tmp_path / root, ignore=shutil.ignore_patterns("__pycache__"))
    before = judge(tmp_path)

    add_the_metric(tmp_path)
    told = judge(tmp_path)

    added = {name: each for name, each in told["estimates"].items() if name not in before["estimates"]}
    assert added == {
        "novelty": [1.0, "shown"],
        "production_novelty": [0.0, "shown"],
        "novelty_gain": [1.0, "shown"],
    }
    assert set(told["event"]) == set(told["estimates"])
    assert told["decision"] == before["decision"] == "promote"  # what has no role decides nothing
    assert "<h2>Continuations that say something new on beginnings</h2>" in told["page"]
    assert "<span>continuations that say something new</span><b>100%</b>" in told["page"]
    assert "Paired difference to m@1" in told["page"]
    assert "Continuations that say something new on beginnings" in told["terminal"]
    assert told["definition"]
