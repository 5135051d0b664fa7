"""When a model counts as dead, and who hears of it."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from ropewalk.serving.adapters import triton_pulse
from ropewalk.serving.adapters.triton_pulse import UNANSWERED, ModelPulse

pytestmark = pytest.mark.usefixtures("_quick")
BUSY = '{"silent_s": 0.2, "num_waiting": 900}'


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_pulse, "_LOOK_S", 0.01)


class Model:
    """Answers pulses as it is told to, and counts them."""

    def __init__(self, answer: str | None) -> None:
        self.answer = answer
        self.asked = 0
        self.ends: list[str] = []

    async def ask(self) -> str | None:
        self.asked += 1
        return self.answer

    def pulse(self, silence_s: float = 0.1) -> ModelPulse:
        return ModelPulse(self.ask, 1, silence_s, self.ends.append)


class Listener:
    """A stream that remembers what it was told."""

    def __init__(self) -> None:
        self.causes: list[str] = []

    def give_up(self, cause: str) -> None:
        self.causes.append(cause)


async def until_over(pulse: ModelPulse) -> None:
    async with asyncio.timeout(5):
        while not pulse.is_over:
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("answer", [BUSY, "", "invalid request: the prompt is empty", "the model is not available"])
async def test_waiting_for_a_slot_for_long_is_not_silence(answer: str) -> None:
    model, listener = Model(answer), Listener()
    pulse = model.pulse(silence_s=0.03)
    async with pulse.followed_by(listener):
        async with asyncio.timeout(5):
            while model.asked < 12:
                await asyncio.sleep(0.005)
    assert (pulse.is_over, listener.causes, model.ends) == (False, [], [])


@pytest.mark.parametrize(
    "answer",
    ["Stub process 'demo-v1_0_0' is not healthy.", "the engine has stopped", '{"silent_s": 4000.0, "num_waiting": 3}'],
)
async def test_all_streams_hear_at_once_and_one_end_is_reported(answer: str) -> None:
    model, listeners = Model(answer), [Listener() for _ in range(24)]
    pulse = model.pulse(silence_s=1000)
    async with AsyncExitStack() as stack:
        for listener in listeners:
            await stack.enter_async_context(pulse.followed_by(listener))
        await until_over(pulse)
    assert [listener.causes for listener in listeners] == [[answer]] * 24
    assert (model.asked, model.ends) == (1, [answer])


async def test_no_answer_counts_only_after_the_whole_silence() -> None:
    model, listener = Model(None), Listener()
    pulse = model.pulse(silence_s=0.1)
    async with pulse.followed_by(listener):
        await until_over(pulse)
    assert model.asked > 2
    assert (listener.causes, model.ends) == ([UNANSWERED], [UNANSWERED])


async def test_a_model_that_is_heard_is_not_asked_and_one_without_streams_neither() -> None:
    model, listener = Model(BUSY), Listener()
    pulse = model.pulse()
    async with pulse.followed_by(listener):
        for _ in range(30):
            pulse.heard()
            await asyncio.sleep(0)
    await asyncio.sleep(0.05)
    assert model.asked == 0


async def test_a_model_that_dies_while_nobody_uses_it_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Model("Stub process 'demo-v1_0_0' is not healthy.")
    pulse = model.pulse()
    await pulse.look_if_idle()
    assert model.asked == 0  # it was heard of a moment ago
    monkeypatch.setattr(triton_pulse, "_IDLE_S", 0.0)
    await pulse.look_if_idle()
    assert (model.asked, len(model.ends), pulse.is_over) == (1, 1, True)
    await pulse.look_if_idle()
    assert model.asked == 1


async def test_what_one_stream_finds_out_the_others_hear() -> None:
    model, one, other = Model(BUSY), Listener(), Listener()
    pulse = model.pulse()
    async with pulse.followed_by(one), pulse.followed_by(other):
        pulse.end("Stub process is gone")
        pulse.end("and once more")
    assert other.causes == one.causes == ["Stub process is gone"]
    assert model.ends == ["Stub process is gone"]
