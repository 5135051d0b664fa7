"""One contract for every kind of inference backend, the memory adapter and the real Triton among them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest
from parts.memory_inference import MemoryInference

from ropewalk.serving.adapters.backends import KINDS
from ropewalk.serving.domain.generation import Generation, Piece
from ropewalk.serving.errors import (
    LoadFailedError,
    ModelNotLoadedError,
    RequestRefusedError,
)
from ropewalk.serving.ports import Inference, ModelToLoad
from ropewalk.serving.settings import Settings

TARGET = "demo-v1"


async def _nobody(target: str, cause: str, seconds: float) -> None:
    """Nobody wants to know about repairs."""


@pytest.fixture(params=[*KINDS, "memory"])
async def inference(request: pytest.FixtureRequest, export: Path, settings: Settings) -> AsyncIterator[Inference]:
    entry = ModelToLoad(target=TARGET, weights=export, lineage={"run_id": "r1"})
    if request.param == "triton":
        request.getfixturevalue("triton")
    async with (KINDS | {"memory": MemoryInference.of})[request.param](settings, _nobody) as backend:
        if TARGET not in await backend.loaded():
            await backend.load(entry)
        yield backend


def greedy(prompt: str, max_tokens: int = 12) -> Generation:
    return Generation(prompt=prompt, max_tokens=max_tokens, temperature=0.0, ignore_eos=True)


async def complete(inference: Inference, generation: Generation, target: str = TARGET) -> list[Piece]:
    async with aclosing(inference.generate(target, generation)) as pieces:
        return [piece async for piece in pieces]


async def test_special_tokens_are_at_marks_and_nowhere_else(inference: Inference) -> None:
    if isinstance(inference, MemoryInference):
        pytest.skip("its tokens are characters")
    lengths = []
    for marks in ((), ((15, 28),), ((1, 14), (15, 28))):
        asked = Generation(prompt="a<|endoftext|>b<|endoftext|>", marks=marks, max_tokens=1)
        lengths.append((await complete(inference, asked))[-1].num_input_tokens)
    spelled, forged, marked = lengths
    assert marked == len("a") + 1 + len("b") + 1
    assert marked < forged < spelled


@pytest.mark.parametrize("marks", [((0, 99),), ((1, 0),), ((0, 3), (2, 4)), ((-2, 1),)])
async def test_marks_beside_the_text_are_refused(inference: Inference, marks: tuple[tuple[int, int], ...]) -> None:
    if isinstance(inference, MemoryInference):
        pytest.skip("its tokens are characters")
    with pytest.raises(RequestRefusedError, match="marks are not in order, or not within the 4 characters"):
        await complete(inference, Generation(prompt="abcd", marks=marks))


def tokens(pieces: list[Piece]) -> list[int]:
    return [token for piece in pieces for token in piece.token_ids]


async def until(condition: object, what: str, seconds: float = 15.0) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():  # type: ignore[operator]
            await asyncio.sleep(0.05)
    assert what


async def test_a_completion_counts_its_tokens_and_says_why_it_ended(inference: Inference) -> None:
    pieces = await complete(inference, greedy("def add"))
    assert sum(piece.num_output_tokens for piece in pieces) == len(tokens(pieces)) == 12
    assert [piece.finish_reason for piece in pieces][-1] == "length"
    assert not any(piece.finish_reason for piece in pieces[:-1])
    assert pieces[-1].num_input_tokens > 0
    assert pieces[-1].logprob_mean < 0


async def test_an_empty_prompt_is_where_a_document_begins(inference: Inference) -> None:
    pieces = await complete(inference, greedy(""))
    assert len(tokens(pieces)) == 12
    assert pieces[-1].num_input_tokens == 1


async def test_a_long_completion_comes_in_several_pieces(inference: Inference) -> None:
    assert len(await complete(inference, greedy("a", 100))) > 1


async def test_eight_at_once_say_what_each_says_alone(inference: Inference) -> None:
    requests = [greedy(f"def f{index}(x):", 40) for index in range(8)]
    alone = [tokens(await complete(inference, request)) for request in requests]
    together = await asyncio.gather(*(complete(inference, request) for request in requests))
    assert [tokens(pieces) for pieces in together] == alone


async def test_prompt_token_ids_replace_the_text(inference: Inference) -> None:
    asked = Generation(prompt_token_ids=(65, 66, 67), max_tokens=4, temperature=0.0, ignore_eos=True)
    pieces = await complete(inference, asked)
    assert (pieces[-1].num_input_tokens, len(tokens(pieces))) == (3, 4)


async def test_an_unknown_model_is_named_as_such(inference: Inference) -> None:
    with pytest.raises(ModelNotLoadedError):
        await complete(inference, greedy("x"), target="nobody")


async def test_a_prompt_longer_than_the_context_is_refused_with_sizes(inference: Inference) -> None:
    with pytest.raises(RequestRefusedError, match=r"has \d+ tokens.*context is 128 tokens"):
        await complete(inference, greedy("x" * 4000))


async def test_what_cannot_be_loaded_is_refused_and_the_rest_serves_on(inference: Inference, tmp_path: Path) -> None:
    with pytest.raises(LoadFailedError):
        await inference.load(ModelToLoad(target="broken-v1", weights=tmp_path, lineage={}))
    assert await complete(inference, greedy("x"))
    assert "broken-v1" not in await inference.loaded()


async def test_a_cancelled_completion_leaves_nothing_behind_and_the_model_can_go(
    inference: Inference, export: Path
) -> None:
    await inference.load(ModelToLoad(target="second-v1", weights=export, lineage={}))
    for index in range(6):
        pieces = inference.generate("second-v1", greedy("a", 100))
        await anext(pieces)
        await asyncio.sleep(0.01 * index)
        await pieces.aclose()
    await inference.unload("second-v1")

    async def is_gone() -> bool:
        return "second-v1" not in await inference.loaded()

    await until(is_gone, "unloaded")
    assert await complete(inference, greedy("x"))
