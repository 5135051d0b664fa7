"""Answers held to a JSON schema by a model of random weights: whatever it would rather say, what it says is valid."""

import json
import random
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from parts.small_engines import Completion, a_tokenizer, complete, prompts

from ropewalk.model import engine_grammar
from ropewalk.model.engine import Engine, EngineRequestError, EngineStoppedError
from ropewalk.model.engine_grammar import GrammarError, Grammars
from ropewalk.model.engine_sampling import Sampling
from ropewalk.model.json_schema import MAX_SCHEMA_DEPTH, why_too_large

RECORD: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "pattern": "^[a-z]{1,6}$"},
        "kind": {"enum": ["function", "class", None, 3]},
        "lines": {"type": "integer", "minimum": 3, "maximum": 17},
        "flags": {"type": "array", "items": {"type": "boolean"}, "minItems": 1, "maxItems": 3},
        "place": {"anyOf": [{"$ref": "#/$defs/place"}, {"type": "null"}]},
    },
    "required": ["name", "kind", "lines", "flags", "place"],
    "additionalProperties": False,
    "$defs": {"place": {"type": "object", "properties": {"x": {"const": "é日"}}, "required": ["x"]}},
}
SCHEMAS: list[dict[str, Any]] = [
    RECORD,
    {"type": "string", "maxLength": 4},
    {"type": "integer", "minimum": 0, "maximum": 99},
    {"type": "array", "prefixItems": [{"type": "null"}, {"type": "boolean"}], "items": False, "minItems": 1},
    {"oneOf": [{"type": "boolean"}, {"const": {"a": [1, {}]}}]},
    {"type": "object", "properties": {'a"b': {"type": "boolean"}}, "required": ['a"b'], "maxProperties": 1},
    {"type": "string", "format": "date"},
]


def held(engine: Engine, schema: Any, prompt: list[int], **sampling: object) -> Completion:
    completion = Completion()
    constraint = engine.constraint(json.dumps(schema))
    engine.submit(prompt, Sampling(**{"temperature": 0.0, **sampling}), completion, constraint)  # type: ignore[arg-type]
    return completion


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: json.dumps(schema)[:30])
def test_an_answer_that_stops_is_valid_and_one_that_is_cut_says_so(engine: Engine, schema: Any) -> None:
    asked = [(prompt, seed) for prompt in prompts()[:5] for seed in range(4)]
    answers = [held(engine, schema, p, temperature=2.0, seed=s, max_tokens=90) for p, s in asked]
    whole = [answer for answer in answers if answer.wait().reason == "stop"]
    assert len(whole) > len(answers) / 2
    for answer in whole:
        Draft202012Validator(schema).validate(json.loads(answer.text))
    assert {answer.reason for answer in answers} <= {"stop", "length"}
    cut = held(engine, RECORD, prompts()[0], max_tokens=3).wait()
    assert (cut.reason, len(cut.tokens)) == ("length", 3)


def test_neighbours_that_follow_a_schema_change_no_bit_of_the_others(engine: Engine) -> None:
    alone = [complete(engine, prompt, max_tokens=40).wait() for prompt in prompts()]
    own = held(engine, RECORD, prompts()[4], max_tokens=60).wait()
    beside = [held(engine, schema, prompts()[4], max_tokens=60) for schema in (RECORD, *SCHEMAS[:3])]
    together = [complete(engine, prompt, max_tokens=40) for prompt in prompts()]
    assert [one.wait().tokens for one in together] == [one.tokens for one in alone]
    assert [one.updates[-1].logprob_mean for one in together] == [one.updates[-1].logprob_mean for one in alone]
    assert beside[0].wait().tokens == own.tokens


def test_white_space_cannot_go_on_for_ever(engine: Engine) -> None:
    constraint = engine.constraint('{"type": "object"}')
    tokenizer = a_tokenizer()
    [brace, blank] = [tokenizer.encode(text).ids[0] for text in ("{", " ")]
    logits = constraint.masked(_flat(tokenizer.get_vocab_size()))
    assert logits[brace].isfinite()
    assert not logits[blank].isfinite()
    for token in (brace, blank):
        assert not constraint.take(token)
    assert not constraint.masked(_flat(tokenizer.get_vocab_size()))[blank].isfinite()


def _flat(size: int) -> Any:
    import torch

    return torch.zeros(size)


@pytest.mark.parametrize(
    ("schema", "word"),
    [
        ({"type": "object", "properties": {"a": {"not": {}}}}, '"not"'),
        ({"type": "array", "uniqueItems": True}, "uniqueItems"),
        ({"type": "string", "pattern": "(?=a)b"}, "look-ahead"),
        ({"type": "string", "format": "nonsense"}, "nonsense"),
        ({"$ref": "http://127.0.0.1/x"}, "127.0.0.1"),
        ({"type": "frob"}, "frob"),
        ({"oneOf": [{"type": "string"}, {"type": "string", "maxLength": 3}]}, "oneOf"),
        ({"type": "string", "minLength": 5, "maxLength": 2}, ""),
        ({"x-guidance": {"lenient": True}, "properties": {"a": {"not": {}}}}, '"not"'),
    ],
)
def test_a_schema_that_cannot_be_followed_is_refused_with_its_reason(engine: Engine, schema: Any, word: str) -> None:
    with pytest.raises(EngineRequestError) as refused:
        engine.constraint(json.dumps(schema))
    assert word in str(refused.value)
    assert len(str(refused.value)) > 10


def test_a_schema_may_not_change_how_json_is_written(engine: Engine) -> None:
    schema = {"const": [1, 2], "x-guidance": {"item_separator": ";", "whitespace_flexible": False}}
    assert json.loads(held(engine, schema, [5], max_tokens=30).wait().text) == [1, 2]


def test_the_bounds_of_a_schema_are_told_with_its_own_size() -> None:
    deep: dict[str, Any] = {}
    for _ in range(MAX_SCHEMA_DEPTH):
        deep = {"items": deep}
    assert why_too_large(deep["items"]) == ""
    assert f"{MAX_SCHEMA_DEPTH + 1} levels" in why_too_large(deep)
    assert "65,5" in why_too_large({"description": "x" * 65_530})


@pytest.mark.parametrize("wish", [{"stop": ("}",)}, {"ignore_eos": True}])
def test_nothing_else_may_end_an_answer_that_follows_a_schema(engine: Engine, wish: dict[str, Any]) -> None:
    with pytest.raises(EngineRequestError, match=f"{next(iter(wish))} would end the answer elsewhere"):
        held(engine, RECORD, [5], **wish)


def test_a_schema_that_is_compiled_lets_other_threads_go_on(engine: Engine) -> None:
    names = {f"k{number}": {"enum": [f"v{number}_{other}" for other in range(20)]} for number in range(200)}
    schema = {"type": "object", "properties": names, "required": [*names]}
    thread = threading.Thread(target=held, args=(engine, schema, [5]), kwargs={"max_tokens": 1})
    longest_s, last = 0.0, time.monotonic()
    thread.start()
    while thread.is_alive():
        time.sleep(0.0005)
        longest_s, last = max(longest_s, time.monotonic() - last), time.monotonic()
    assert longest_s < 0.5


def test_a_model_without_an_end_follows_no_schema_and_says_why(folder: Path) -> None:
    with pytest.raises(GrammarError, match="no token that ends an answer"):
        Grammars(a_tokenizer(), 320, frozenset()).constraint("{}")


def test_a_step_that_costs_too_much_ends_that_request_alone_and_says_what_to_change(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(engine_grammar._LIMITS, "step_lexer_fuel", 500)
    costly = {"type": "string", "pattern": "^(.{1,400}x.{1,400}y.{1,400}){1,50}$"}
    answer = held(engine, costly, prompts()[6], temperature=1.5, seed=1, max_tokens=60).wait()
    assert (answer.reason, answer.updates[-1].is_refused) == ("error", True)
    assert answer.updates[-1].error.startswith("it wants more work for one token than is done here: shorten its")
    assert complete(engine, prompts()[1], max_tokens=3).wait().reason == "length"


def test_many_different_answers_to_one_schema_all_stay_valid() -> None:
    tokenizer, chance = a_tokenizer(), random.Random(1)
    grammars = Grammars(tokenizer, tokenizer.get_vocab_size(), {tokenizer.token_to_id("<|endoftext|>")})
    schema, renewed = json.dumps({"type": "string", "pattern": "^(.{1,80}[.!?] ?){1,4}$"}), 0
    for _ in range(300):
        words = [chance.choice(("return", "refund.", "x@y.de", "A Foo", "12 345", "not")) for _ in range(12)]
        constraint = grammars.constraint(schema)
        for token in tokenizer.encode(json.dumps(" ".join([*words, "end."])), add_special_tokens=False).ids:
            assert constraint.masked(_flat(tokenizer.get_vocab_size()))[token].isfinite()
            if constraint.take(token):
                break
        else:
            pytest.fail("the answer is whole, and more may follow")
        renewed += constraint._fresh is None
    assert 0 < renewed < 60  # or nothing was used up, and this shows nothing
    grammars.close()


class Held:
    """A matcher that works out what may come next only once it is let."""

    def __init__(self, matcher: Any) -> None:
        self._matcher = matcher
        self.let = threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._matcher, name)

    def compute_bitmask(self) -> bytes:
        assert self.let.wait(20)
        return self._matcher.compute_bitmask()


def test_an_answer_waits_for_its_schema_and_no_other_does(engine: Engine) -> None:
    free = [held(engine, RECORD, prompt, max_tokens=60).wait() for prompt in prompts()[:2]]
    constraint = engine.constraint(json.dumps(RECORD))
    matcher = constraint._matcher = Held(constraint._matcher)
    waiting = Completion()
    engine.submit(prompts()[0], Sampling(temperature=0.0, max_tokens=60), waiting, constraint)
    assert complete(engine, prompts()[2], max_tokens=50).wait().reason == "length"
    assert held(engine, RECORD, prompts()[1], max_tokens=60).wait().tokens == free[1].tokens
    assert len(waiting.tokens) == 1
    matcher.let.set()
    assert waiting.wait().tokens == free[0].tokens


class Burning(Held):
    """A matcher that takes its time, and from the second token on does not come to an end until it is let."""

    def compute_bitmask(self) -> bytes:
        began, is_first = time.thread_time(), not hasattr(self, "asked")
        self.asked = True
        while is_first and time.thread_time() - began < 2 * engine_grammar._SLOW_S:
            pass
        return self._matcher.compute_bitmask() if is_first else super().compute_bitmask()


def test_schemas_that_were_slow_once_keep_no_other_schema_waiting(engine: Engine) -> None:
    free = held(engine, RECORD, prompts()[1], max_tokens=60).wait()
    burning = []
    for prompt in prompts()[:3]:  # more than there are threads
        constraint = engine.constraint(json.dumps(RECORD))
        constraint._matcher = Burning(constraint._matcher)
        burning.append((Completion(), constraint._matcher))
        engine.submit(prompt, Sampling(temperature=0.0, max_tokens=60), burning[-1][0], constraint)
    assert held(engine, RECORD, prompts()[1], max_tokens=60).wait().tokens == free.tokens
    assert all(len(answer.tokens) < 4 for answer, _ in burning)
    for _, matcher in burning:
        matcher.let.set()
    assert all(answer.wait().reason in ("stop", "length") for answer, _ in burning)


def test_who_asks_for_a_known_schema_does_not_wait_for_one_that_is_compiled(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.constraint(json.dumps(RECORD))
    begun, let, compile_it = threading.Event(), threading.Event(), engine._grammars._compile

    def compile_slowly(schema: str) -> Any:
        begun.set()
        assert let.wait(20)
        return compile_it(schema)

    monkeypatch.setattr(engine._grammars, "_compile", compile_slowly)
    thread = threading.Thread(target=engine.constraint, args=('{"type": "null"}',))
    thread.start()
    assert begun.wait(20)
    known = threading.Thread(target=engine.constraint, args=(json.dumps(RECORD),))
    known.start()
    known.join(20)
    assert not known.is_alive()
    let.set()
    thread.join(20)


class Panicking(Held):
    """A library that ends as Rust does: with what is no Exception."""

    def compute_bitmask(self) -> bytes:
        raise BaseException("a panic inside")


def test_a_panic_of_the_library_ends_that_answer_alone(engine: Engine) -> None:
    constraint = engine.constraint(json.dumps(RECORD))
    constraint._matcher = Panicking(constraint._matcher)
    answer = Completion()
    engine.submit(prompts()[0], Sampling(temperature=0.0, max_tokens=60), answer, constraint)
    assert (answer.wait().reason, answer.updates[-1].is_refused) == ("error", True)
    assert answer.updates[-1].error == "a panic inside"
    assert held(engine, RECORD, prompts()[1], max_tokens=60).wait().reason in ("stop", "length")


def test_nobody_works_on_the_masks_of_answers_that_were_cancelled(engine: Engine) -> None:
    begun = []
    for constraint in [engine.constraint(json.dumps(RECORD)) for _ in range(4)]:
        constraint._matcher = Held(constraint._matcher)
        answer = Completion()
        number = engine.submit(prompts()[0], Sampling(temperature=0.0, max_tokens=60), answer, constraint)
        while not answer.tokens or constraint.allowed.done():
            time.sleep(0.001)
        begun.append((number, constraint, answer))
    for number, constraint, answer in begun[2:]:  # which stand in line behind the first two
        engine.cancel(number)
        assert answer.wait().reason == "cancelled"
        assert constraint.allowed.cancelled()
    for _, constraint, answer in begun[:2]:
        constraint._matcher.let.set()
        assert answer.wait().reason in ("stop", "length")


def test_a_schema_for_an_engine_that_has_stopped_is_told_so(folder: Path) -> None:
    engine = Engine(folder)
    engine.start()
    engine.constraint("{}")
    engine.stop()
    with pytest.raises(EngineStoppedError):
        engine.constraint("{}")
