"""One small export and an engine that runs it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from parts.small_engines import a_qwen3, an_export
from transformers import PreTrainedModel

from ropewalk.model.engine import Engine


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def model() -> PreTrainedModel:
    return a_qwen3()


@pytest.fixture(scope="module")
def folder(model: PreTrainedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return an_export(tmp_path_factory.mktemp("qwen3"), model)


@pytest.fixture(scope="module")
def engine(folder: Path) -> Iterator[Engine]:
    engine = Engine(folder, num_slots=12)
    engine.start()
    yield engine
    engine.stop()
