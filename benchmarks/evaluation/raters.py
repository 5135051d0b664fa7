"""A judged task set from its YAML to `model_promoted` on a real stack, with four scripted raters in a browser.

    python benchmarks/evaluation/raters.py [--steps 400] [--raters-each 4] [--out FOLDER]

A model that learnt for a moment is promoted first. A better one names the task set, so that its decision waits for
people; they grade by how many pairs of neighbouring words of an answer stand somewhere in the standard library, one in
ten times a grade beside it, and know nothing else. A fifth rater's link was revoked. Prints JSON: the seconds of a
page, from its being asked for to the next one, are those of a script that reads in no time.
"""

import argparse
import asyncio
import hashlib
import json
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from dataclasses import dataclass, field
from itertools import pairwise, product
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import yaml
from machine import describe
from playwright.async_api import Browser, Page, async_playwright

from ropewalk.client import Client
from ropewalk.client.settings import find_settings
from ropewalk.events.base import Message, last_of
from ropewalk.events.checkpoint import ModelPromoted
from ropewalk.events.evaluation import EvaluationReopened, GateDecided
from ropewalk.events.run import RunCompleted, RunFailed, RunRejected

_SET, _RATERS = "continuing", ("anna", "bert", "carl", "dora")
_WITHIN_S = 1800.0
_BEGINNER_STEPS = 60  # enough to beat the token unigram
_WORD = r"\w+|[^\w\s]"
_VERBS = ("read", "write", "parse", "close", "find", "split", "join", "check")
_NOUNS = ("header", "line", "number", "table", "path", "record", "packet", "token")


@dataclass
class Told:
    """What the raters did."""

    seconds: list[float] = field(default_factory=list)  # of a page


def main() -> None:
    """Run it all, and say how it went."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--raters-each", type=int, default=4)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="raters-") as folder:
        stack = Path(folder, "state")
        try:
            _ropewalk(stack, "up")
            found = asyncio.run(_run(stack, Path(folder), options.steps, options.raters_each))
        finally:
            _ropewalk(stack, "down")
    text = json.dumps({"machine": describe(), **found}, indent=1)
    print(text)
    if options.out:
        (options.out / "evaluation_raters.json").write_text(f"{text}\n")


async def _run(stack: Path, folder: Path, steps: int, raters_each: int) -> dict[str, Any]:
    _ropewalk(stack, "taskset", "add", str(_task_set(folder / "set", raters_each)))
    _ropewalk(stack, "taskset", "freeze", _SET)
    links = {name: _invited(stack, name) for name in (*_RATERS, "emil")}
    _ropewalk(stack, "eval", "raters", "revoke", _SET, "emil")
    async with await Client.connect(find_settings(stack)) as client:
        await client.submit(_recipe(_BEGINNER_STEPS), "beginner")
        await _until(client, "beginner", ModelPromoted)
        judged = _recipe(steps) | {"evaluation": {"gate": "toy", "task_sets": [f"{_SET}@1"], "defer_hours": 1.0}}
        await client.submit(judged, "better")
        first = await _until(client, "better", GateDecided)
        told = Told()
        began = time.monotonic()
        async with async_playwright() as driver:
            browser = await driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            refused = await (await browser.new_page()).goto(links["emil"])
            words = _corpus()
            raters = [Rater(name, words, told) for name in _RATERS]
            await asyncio.gather(*(each.label(browser, links[each.name], client) for each in raters))
            await browser.close()
        timeline = [stored.message for stored in await client.timeline("better")]
    decided, promoted = last_of(timeline, GateDecided), last_of(timeline, ModelPromoted)
    listed = json.loads(_ropewalk(stack, "eval", "raters", "list", _SET, "--json"))
    return {
        "first_decision": first.word,
        "looks": sum(isinstance(each, EvaluationReopened) for each in timeline) + 1,
        "decision": decided.word if decided else "",
        "reasons": decided.reasons if decided else (),
        "promoted": promoted.model_version if promoted else 0,
        "revoked_link_status": refused.status if refused else 0,
        "num_pages": len(told.seconds),
        "median_s_per_page": round(median(told.seconds), 3),
        "longest_s_per_page": round(max(told.seconds), 3),
        "labelling_s": round(time.monotonic() - began, 1),
        "raters": listed,
        "within_bar": bool(promoted) and median(told.seconds) <= 25.0 and refused is not None and refused.status == 403,
    }


@dataclass(frozen=True)
class Rater:
    """One of them, who knows which words stand beside each other."""

    name: str
    words: set[tuple[str, str]]
    told: Told

    async def label(self, browser: Browser, link: str, client: Client) -> None:
        """Until the run is decided: what is wanted comes in rounds."""
        page = await (await browser.new_context()).new_page()
        await page.goto(link)
        await page.wait_for_url(f"**/r/{_SET}")
        deadline = time.monotonic() + _WITHIN_S
        while time.monotonic() < deadline:
            if await page.locator("fieldset").count():
                began = time.monotonic()
                key = await self._key(page)
                async with page.expect_navigation():
                    await page.keyboard.press(key)
                self.told.seconds.append(time.monotonic() - began)
            elif await _is_over(client):
                return
            else:
                await asyncio.sleep(2.0)
                await page.reload()

    async def _key(self, page: Page) -> str:
        texts = await page.locator("section.answer pre").all_inner_texts()
        grades = [self._grade(text) for text in texts]
        if len(grades) == 1:
            return str(grades[0])
        return "t" if grades[0] == grades[1] else "a" if grades[0] > grades[1] else "b"

    def _grade(self, text: str) -> int:
        pairs = list(pairwise(re.findall(_WORD, text)))
        share = sum(pair in self.words for pair in pairs) / len(pairs) if pairs else 0.0
        chance = hashlib.sha256(f"{self.name} {text}".encode()).digest()
        slip = (chance[0] < 26) * (1 if chance[1] % 2 else -1)  # one in ten
        return min(3, max(0, int(4 * share) + slip))


def _corpus() -> set[tuple[str, str]]:
    """Neighbouring words of what the models learn from."""
    files = Path(sysconfig.get_paths()["stdlib"]).glob("*.py")
    texts = (file.read_text(errors="replace") for file in files)
    return {pair for text in texts for pair in pairwise(re.findall(_WORD, text))}


def _recipe(steps: int) -> dict[str, Any]:
    return {
        "base": "python-stdlib-tiny",
        "trials": 0,
        "training": {"total_steps": steps},
        "promotion": {"model": "rated"},
    }


def _task_set(folder: Path, raters_each: int) -> Path:
    folder.mkdir()
    rows = [{"question": f"def {verb}_{noun}(", "group": f"{verb}-{noun}"} for verb, noun in product(_VERBS, _NOUNS)]
    body = "".join(f"{json.dumps(row)}\n" for row in rows).encode()
    (folder / "items.jsonl").write_bytes(body)
    definition = {
        "id": _SET,
        "version": 1,
        "use_case": "to continue Python readably",
        "data": {"file": "items.jsonl", "sha256": hashlib.sha256(body).hexdigest()},
        "licence": "CC0-1.0",
        "cluster_key": "group",
        "type": "judge",
        "criteria": ["readability"],
        "raters_each": raters_each,
        "max_tokens": 32,
        "until": ["\n\n\n"],
        "splits": {"dev": 0.0, "calibration": 0.0, "gate": 1.0},
        "gate": {"readability": {"role": "primary"}},
    }
    path = folder / "set.yaml"
    path.write_text(yaml.safe_dump(definition))
    return path


async def _until(client: Client, run_id: str, kind: type[Any]) -> Any:
    deadline = time.monotonic() + _WITHIN_S
    while time.monotonic() < deadline:
        for message in await _facts(client, run_id):
            if isinstance(message, kind):
                return message
            if isinstance(message, RunFailed | RunRejected | RunCompleted):
                raise SystemExit(f"run {run_id}: {message}")
        await asyncio.sleep(1.0)
    raise SystemExit(f"run {run_id} said no {kind.__name__} in {_WITHIN_S:.0f} s")


async def _facts(client: Client, run_id: str) -> list[Message]:
    return [stored.message async for stored in client.bus.read(f"evt.*.*.*.{run_id}")]


async def _is_over(client: Client) -> bool:
    return any(isinstance(each, RunCompleted | RunFailed) for each in await _facts(client, "better"))


def _invited(stack: Path, rater: str) -> str:
    return str(json.loads(_ropewalk(stack, "eval", "raters", "invite", _SET, rater, "--json"))["url"])


def _ropewalk(stack: Path, *arguments: str) -> str:
    program = Path(sysconfig.get_path("scripts")) / "ropewalk"
    done = subprocess.run(
        [program, *arguments, "--state-dir", stack], capture_output=True, text=True, timeout=600, check=False
    )
    if done.returncode:
        raise SystemExit(f"ropewalk {' '.join(arguments)}: {done.stderr}{done.stdout}")
    return done.stdout


if __name__ == "__main__":
    main()
