"""Variants are kept that are new, fit, and agree; they are marked for ever, and the endpoint is bounded."""

import itertools
import json
import os
import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from parts.writing_endpoint import Told, a_writing_endpoint, completion

from ropewalk.client.synthesis import nearness
from ropewalk.client.synthesis.making import SynthesisOrder, synthesise
from ropewalk.client.synthesis.nearness import KnownInputs
from ropewalk.corpus.reading.places import ANYWHERE
from ropewalk.corpus.reading.records import Content, Limits
from ropewalk.corpus.task_checks import placed_examples
from ropewalk.recipes.recipe import SourceRecipe
from ropewalk.recipes.task import TaskRecipe
from ropewalk.stages.errors import StageError
from ropewalk.usecases.endpoint import Endpoint

SCHEMA: Any = {"type": "object", "properties": {"topic": {"type": "string"}}, "required": ["topic"]}
ANSWER = '{"topic":"order"}'


class Writing:
    """Says another input every time, and an answer to each."""

    def __init__(self, answer: str = ANSWER) -> None:
        self.answer, self._numbers = answer, itertools.count()

    def __call__(self, asked: dict[str, Any]) -> str:
        if len(asked["messages"]) > 1:
            return self.answer
        chooser = random.Random(next(self._numbers))
        return " ".join("".join(chooser.choices("abcdefghij", k=6)) for _ in range(4))


def an_order(folder: Path, endpoint: Told, count: int = 5, **fields: Any) -> SynthesisOrder:
    examples = folder / "examples.jsonl"
    if not examples.exists():
        records = [{"input": f"Where is parcel number {n}, please?", "output": {"topic": "order"}} for n in range(20)]
        examples.write_text("".join(json.dumps(record) + "\n" for record in records))
    return SynthesisOrder(
        task=TaskRecipe(instruction="Say the topic.", json_schema=SCHEMA),
        examples=SourceRecipe(path=str(examples), licence="MIT", format="examples"),
        target=folder / "synthetic.jsonl",
        count=count,
        writer=Endpoint(url=endpoint.url, model="big", key="secret"),
        **({"minutes": 0.5, "pause_s": 0.0} | fields),
    )


def made(order: SynthesisOrder) -> list[dict[str, Any]]:
    return [json.loads(line) for line in order.target.read_text().splitlines()]


def test_variants_are_written_with_their_mark_and_read_as_synthetic_ones_of_their_example(tmp_path: Path) -> None:
    with a_writing_endpoint(Writing()) as endpoint:
        order = an_order(tmp_path, endpoint)
        found = synthesise(order, lambda _: None)
    assert (found.num_there, found.num_new, found.ending) == (5, 5, "")
    records = made(order)
    assert len({record["input"] for record in records}) == 5
    own = {
        c.split_key: place
        for place, c in placed_examples([order.examples], Limits(), ANYWHERE)
        if isinstance(c, Content)
    }
    for record in records:
        assert record["output"] == {"topic": "order"}
        assert record["synthetic"]["by"] == "big at 127.0.0.1"
        assert own[record["synthetic"]["from"]].endswith(f"#{record['synthetic']['line']}")
    source = order.examples.model_copy(update={"path": str(order.target)})
    for _, content in placed_examples([source], Limits(), ANYWHERE):
        assert isinstance(content, Content)
        assert (content.source, content.origin in own) == ("synthetic", True)
    headers, asked = endpoint.asked[0]
    assert (headers["authorization"], asked["model"]) == ("Bearer secret", "big")


def test_a_second_call_goes_on_behind_whole_lines_and_repeats_no_input(tmp_path: Path) -> None:
    with a_writing_endpoint(Writing()) as endpoint:
        order = an_order(tmp_path, endpoint, 2)
        synthesise(order, lambda _: None)
        first = made(order)
        with order.target.open("a") as file:
            file.write('{"input": "half a li')
        endpoint.say = Writing()  # begins with the inputs that are there
        told: list[str] = []
        found = synthesise(replace(order, count=4), told.append)
        assert (found.num_there, found.num_new, told) == (4, 2, ["3 of 4", "4 of 4"])
        assert made(order)[:2] == first
        assert len({record["input"] for record in made(order)}) == 4
        assert synthesise(order, told.append).num_new == 0


def test_answers_that_disagree_or_do_not_fit_are_left_out_and_the_tries_are_bounded(tmp_path: Path) -> None:
    numbers = itertools.count()
    writing = Writing()

    def disagreeing(asked: dict[str, Any]) -> str:
        return f'{{"topic":"{next(numbers)}"}}' if len(asked["messages"]) > 1 else writing(asked)

    with a_writing_endpoint(disagreeing) as endpoint:
        found = synthesise(an_order(tmp_path, endpoint, 1), lambda _: None)
        assert (found.num_there, found.ending) == (0, "too few of what was written could be used")
        assert found.dropped == {"answers that do not fit the schema or disagree": 60}
        endpoint.say = Writing(f"```json\n{ANSWER}\n```")
        assert synthesise(an_order(tmp_path, endpoint, 1), lambda _: None).num_new == 1


def test_inputs_that_repeat_an_example_are_left_out(tmp_path: Path) -> None:
    with a_writing_endpoint(lambda asked: "where is  parcel number 7 please") as endpoint:
        found = synthesise(an_order(tmp_path, endpoint, 1), lambda _: None)
    assert found.dropped == {"input nearly one that there is": 60}
    known = KnownInputs()
    known.add("The quick brown fox jumps over the lazy dog")
    assert known.has_near("the quick brown fox jumps over the lazy dog!")
    assert not known.has_near("Ships that pass in the night, and speak to each other in passing")


def test_the_index_finds_what_a_look_at_every_input_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    chance, known, texts = Random(5), KnownInputs(), list[str]()
    looks = list[int]()
    likeness = nearness._likeness
    monkeypatch.setattr(nearness, "_likeness", lambda one, other: looks.append(1) or likeness(one, other))
    for number in range(400):
        fresh = "".join(chance.choice("abcdefgh ") for _ in range(chance.choice((3, 40, 300))))
        base = chance.choice(texts) if texts and number % 2 else fresh
        text = "".join(chance.choice("xyz") if chance.random() < 0.02 else each for each in base)
        sketch = nearness._sketch(text)
        wanted = any(likeness(sketch, nearness._sketch(each)) >= 0.75 for each in texts)
        assert known.has_near(text) == wanted
        known.add(text)
        texts.append(text)
    assert len(looks) < 400 * 400 / 2 / 10  # a tenth of what there is to look at


@pytest.mark.parametrize(
    "bad",
    [
        {"status": 503},
        {"status": 429},
        {"body": b"{"},
        {"body": b"[" * 100_000},
        {"body": b'{"choices": []}'},
        {"body": completion(None)},
        {"body": completion(["a"])},
        {"body": b"x" * 2_000_000},
        {"body": completion("x"), "headers": {"content-encoding": "gzip"}},
    ],
    ids=["away", "busy", "half", "deep", "empty", "null", "list", "huge", "compressed"],
)
def test_an_endpoint_that_answers_nothing_of_use_is_left_after_some_tries(tmp_path: Path, bad: dict[str, Any]) -> None:
    with a_writing_endpoint() as endpoint:
        for name, value in bad.items():
            setattr(endpoint, name, value)
        order = an_order(tmp_path, endpoint)
        found = synthesise(order, lambda _: None)
        assert len(endpoint.asked) <= 30
    assert (found.num_there, found.dropped, order.target.read_bytes()) == (0, {"no answer of the writer": 19}, b"")
    assert found.ending
    assert len(found.ending) < 400


@pytest.mark.parametrize("text", ["\ud800", "\0", " \u200b ", "x" * 500_000], ids=["surrogate", "nul", "blank", "long"])
def test_what_no_example_could_be_never_gets_into_the_file(tmp_path: Path, text: str) -> None:
    with a_writing_endpoint(lambda _: text) as endpoint:
        order = an_order(tmp_path, endpoint, 1)
        assert synthesise(order, lambda _: None).num_there == 0
    assert order.target.read_bytes() == b""


def test_a_key_that_is_refused_and_a_redirection_end_it_at_once_and_take_no_key_along(tmp_path: Path) -> None:
    with a_writing_endpoint() as endpoint, a_writing_endpoint(Writing()) as elsewhere:
        endpoint.status, endpoint.body = 401, b"no\x1b[2J such key"
        ending = synthesise(an_order(tmp_path, endpoint), lambda _: None).ending
        assert ending == r"the endpoint refuses to answer, with status 401: no\x1b[2J such key"
        endpoint.status, endpoint.headers = 307, {"location": elsewhere.url}
        assert "status 307" in synthesise(an_order(tmp_path, endpoint), lambda _: None).ending
        assert elsewhere.asked == []


def test_an_endpoint_that_drips_or_never_answers_costs_no_more_than_the_minutes(tmp_path: Path) -> None:
    with a_writing_endpoint() as endpoint:
        endpoint.body, endpoint.drip_s = completion("x" * 1000), 0.05
        began = time.monotonic()
        found = synthesise(an_order(tmp_path, endpoint, minutes=0.005), lambda _: None)
    assert found.num_there == 0
    assert time.monotonic() - began < 10


def test_what_is_not_ours_in_the_file_is_left_alone_and_no_example_gives_no_variant(tmp_path: Path) -> None:
    with a_writing_endpoint(Writing()) as endpoint:
        order = an_order(tmp_path, endpoint)
        order.target.write_text('{"a": 1}\n')
        with pytest.raises(StageError, match=r"synthetic\.jsonl has a line that is no record"):
            synthesise(order, lambda _: None)
        assert order.target.read_text() == '{"a": 1}\n'
        Path(order.examples.path).write_text('{"input": "a"}\n')
        with pytest.raises(StageError, match="there is no example"):
            synthesise(order, lambda _: None)


@pytest.mark.parametrize(("make", "reason"), [(Path.mkdir, "Is a directory"), (os.mkfifo, "no regular file")])
def test_variants_go_into_a_regular_file_or_nowhere(tmp_path: Path, make: Callable[[Path], None], reason: str) -> None:
    with a_writing_endpoint(Writing()) as endpoint:
        order = an_order(tmp_path, endpoint)
        make(order.target)
        with pytest.raises(StageError, match=rf"synthetic\.jsonl in the task's folder .*{reason}.*: move it away"):
            synthesise(order, lambda _: None)
    assert not endpoint.asked
