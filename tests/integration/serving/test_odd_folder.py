"""Triton starts its stubs through a shell, without quotes, in the C locale: no state folder may notice."""

import shutil
from contextlib import aclosing
from pathlib import Path

from parts.triton_process import running

from ropewalk.serving.adapters.triton_client import TritonInference
from ropewalk.serving.domain.generation import Generation
from ropewalk.serving.ports import ModelToLoad
from ropewalk.serving.settings import Settings


async def _nobody(target: str, cause: str, seconds: float) -> None:
    """Nobody wants to know about repairs."""


async def test_a_model_answers_from_a_state_folder_with_odd_letters(tmp_path: Path, export: Path) -> None:
    state = tmp_path / "it's $(id) 100% ü; a:b"
    weights = state / "objects"
    shutil.copytree(export, weights)
    settings = Settings(state_dir=state)
    with running(settings, tmp_path / "triton.log"):
        async with TritonInference(settings, _nobody) as inference:
            await inference.load(ModelToLoad(target="odd-v1", weights=weights, lineage={}))
            asked = Generation(prompt="def", max_tokens=4, ignore_eos=True)
            async with aclosing(inference.generate("odd-v1", asked)) as pieces:
                assert sum([piece.num_output_tokens async for piece in pieces]) == 4
    shutil.rmtree(settings.triton_dir)
