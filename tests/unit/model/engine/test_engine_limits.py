"""What no request may ask, and what one that goes wrong does to the others: nothing."""

import threading
from pathlib import Path

import pytest
from parts.small_engines import a_qwen3, an_export, complete

from ropewalk.model.engine import Engine, EngineRequestError
from ropewalk.model.engine_cache import MappedCache
from ropewalk.model.engine_sampling import Sampling
from ropewalk.model.engine_text import TextStream
from ropewalk.model.engine_weights import UnsupportedModelError, read_architecture


def test_a_prompt_longer_than_the_context_is_refused_with_both_sizes(engine: Engine) -> None:
    with pytest.raises(EngineRequestError, match=r"prompt has 128 tokens.*context is 128 tokens"):
        complete(engine, [1] * 128)


@pytest.mark.parametrize(("field", "value"), [("max_tokens", 0), ("temperature", -1.0), ("top_p", 0.0), ("top_k", -2)])
def test_an_impossible_wish_is_refused_by_name_and_value(engine: Engine, field: str, value: float) -> None:
    with pytest.raises(EngineRequestError, match=rf"{field} is {value}"):
        complete(engine, [1], **{field: value})


EXTREMES = [
    {"top_p": 1e-46},
    {"top_p": 1e-300, "temperature": 100.0},
    {"temperature": 1e-40},
    {"temperature": 5e-324},
    {"temperature": 1e-40, "top_p": 1e-46, "top_k": 1},
    {"top_k": 10**30},
    {"seed": -1},
    {"seed": 10**400},
    {"max_tokens": 10**30},
    {"stop": ("\x00", "", "\N{REPLACEMENT CHARACTER}")},
]


@pytest.mark.parametrize("wishes", EXTREMES, ids=str)
def test_a_wish_at_the_edge_is_fulfilled_and_nobody_else_notices(engine: Engine, wishes: dict) -> None:
    other = complete(engine, "def add", max_tokens=20, ignore_eos=True)
    extreme = complete(engine, "for i", **{"max_tokens": 8, "temperature": 1.0, "ignore_eos": True} | wishes)
    assert extreme.wait().reason in {"length", "stop"}
    assert len(other.wait().tokens) == 20


def test_a_temperature_near_zero_and_a_top_p_near_zero_are_greedy(engine: Engine) -> None:
    wishes = ({"temperature": 0.0}, {"temperature": 1e-40}, {"top_p": 1e-46}, {"temperature": 50.0, "top_p": 1e-46})
    asked = [{"max_tokens": 12, "temperature": 1.0, "ignore_eos": True} | wish for wish in wishes]
    assert len({complete(engine, "def", **each).wait().text for each in asked}) == 1


@pytest.mark.parametrize(
    ("stop", "named"),
    [
        (tuple(f"stop {number}" for number in range(20_000)), "stop has 20000 strings"),
        (("a" * 100_000,), "stop has a string of 100000 characters"),
        ((*"ab", "c" * 501), "stop has a string of 501 characters"),
    ],
)
def test_more_or_longer_stop_strings_than_are_looked_for_are_refused(engine: Engine, stop: tuple, named: str) -> None:
    with pytest.raises(EngineRequestError, match=named):
        engine.submit([5], Sampling(stop=stop), lambda update: None)


def test_a_text_no_tokenizer_could_fit_is_refused_by_its_length_alone(engine: Engine) -> None:
    with pytest.raises(EngineRequestError, match=r"has 10000000 characters, but this model's context is 128 tokens"):
        engine.encode("x" * 10_000_000)


def test_other_threads_go_on_while_a_long_text_is_cut_into_tokens(folder: Path) -> None:
    engine = Engine(folder, num_slots=1)
    engine._max_chars = 10**7
    done = threading.Event()
    encoding = threading.Thread(target=lambda: (engine.encode("naïve café " * 50_000), done.set()))
    encoding.start()
    ticks = 0
    while not done.wait(0.001):
        ticks += 1
    encoding.join()
    assert ticks > 20


def test_broken_numbers_end_the_request_they_meet_with_a_reason_and_the_engine_lives(folder: Path) -> None:
    engine = Engine(folder, num_slots=4)
    engine._decoder._weights.embedding[5] = float("nan")
    engine.start()
    broken = complete(engine, [5], max_tokens=4).wait()
    assert (broken.reason, "not finite" in broken.updates[-1].error) == ("error", True)
    assert engine.silent_s == 0.0
    engine.stop()
    assert not engine._running


@pytest.mark.parametrize("failing", ["prefill", "decode"])
def test_whatever_goes_wrong_in_the_middle_of_one_request_ends_it_alone(
    folder: Path, failing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(folder, num_slots=4)
    working, victims = getattr(engine._decoder, failing), 1

    def fails_once(*arguments: object) -> object:
        nonlocal victims
        if victims:
            victims -= 1
            raise MemoryError("no room for one more")
        return working(*arguments)

    monkeypatch.setattr(engine._decoder, failing, fails_once)
    engine.start()
    assert complete(engine, "def").wait().updates[-1].error == "MemoryError: no room for one more"
    assert complete(engine, "def", max_tokens=4, ignore_eos=True).wait().reason == "length"
    engine.stop()


def test_a_failing_tokenizer_ends_one_of_two_requests_in_one_batch(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: TextStream, token: int) -> tuple[str, bool]:
        if self._stop == ("victim",):
            raise OverflowError("int too large")
        return advance(self, token)

    advance = TextStream.add
    monkeypatch.setattr(TextStream, "add", fails)
    victim = complete(engine, "def", max_tokens=9, stop=("victim",), ignore_eos=True)
    other = complete(engine, "def", max_tokens=9, ignore_eos=True)
    assert victim.wait().updates[-1].error == "OverflowError: int too large"
    assert len(other.wait().tokens) == 9


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_a_model_with_one_number_that_is_not_finite_is_refused(tmp_path: Path, value: float) -> None:
    broken = a_qwen3()
    broken.model.layers[1].mlp.down_proj.weight.data[3, 5] = value
    with pytest.raises(
        UnsupportedModelError, match=r"layers\.1\.mlp\.down_proj\.weight hold numbers that are not finite"
    ):
        Engine(an_export(tmp_path, broken))


def test_a_model_that_cannot_be_run_faithfully_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(UnsupportedModelError, match="gpt2"):
        read_architecture(tmp_path)


def test_requests_that_together_want_more_memory_than_there_is_wait_for_each_other(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ropewalk.model.engine._CACHE_BYTES", 100 * read_architecture(folder).cache_bytes_per_token)
    engine = Engine(folder, num_slots=4)
    waiting: list[int] = []
    watched = Sampling(max_tokens=40, temperature=0.0, ignore_eos=True)
    engine.submit([7] * 20, watched, lambda _: waiting.append(engine.num_waiting))  # 60 of 100 tokens
    together = [complete(engine, [7] * 20, max_tokens=40, ignore_eos=True) for _ in range(3)]
    too_large = complete(engine, [9] * 30, max_tokens=10**9, ignore_eos=True)
    engine.start()
    assert [one.wait().reason for one in (*together, too_large)] == ["length"] * 4
    assert len({tuple(one.tokens) for one in together}) == 1
    assert waiting == [4] * 40
    engine.stop()


def test_the_memory_of_a_slot_is_given_back_and_that_of_its_neighbours_stays() -> None:
    cache = MappedCache(2, 3, 1, 64, 64)  # a slot has four pages in a layer
    cache.values.fill_(1.0)
    cache.release(1)
    assert cache.values[:, 1].abs().sum() == 0
    assert cache.values[:, [0, 2]].min() == 1
    narrow = MappedCache(2, 3, 1, 64, 8)  # half a page: no page is its own
    narrow.values.fill_(1.0)
    narrow.release(1)
    assert narrow.values[:, [0, 2]].min() == 1
