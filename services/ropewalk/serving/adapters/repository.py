"""The Triton model repository: one entry per model version, written whole or not at all.

An entry has two configurations over the same `model.json`: `config.pbtxt` runs our backend on the CPU,
`configs/vllm.pbtxt` NVIDIA's vLLM backend on a GPU (`--model-config-name=vllm`). Every model version is a Triton
model of its own, so loading a candidate never touches what serves, and unloading drains only its own requests.
"""

import json
import shutil
from pathlib import Path

from ropewalk.serving.adapters.triton_backend.contract import INPUTS, OUTPUTS
from ropewalk.serving.ports import ModelToLoad

_CPU = """backend: "ropewalk"
max_batch_size: 0
model_transaction_policy {{ decoupled: True }}
instance_group [ {{ kind: KIND_CPU count: 1 }} ]
input [
{inputs}
]
output [
{outputs}
]
"""
_VLLM = """backend: "vllm"
max_batch_size: 0
model_transaction_policy { decoupled: True }
instance_group [ { kind: KIND_MODEL count: 1 } ]
"""

_LINK = "weights"
BASE_LINK = "base"  # only our own backend follows it; vLLM loads the merged weights


class ModelRepository:
    """Entries below one folder that Triton reads."""

    def __init__(self, folder: Path, num_slots: int) -> None:
        self._folder = folder
        self._num_slots = num_slots

    def write(self, entry: ModelToLoad) -> None:
        """Create or replace an entry. Raises OSError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        temporary = self._folder / f".{entry.target}.tmp"
        shutil.rmtree(temporary, ignore_errors=True)
        version = temporary / "1"
        version.mkdir(parents=True)
        (temporary / "configs").mkdir()
        (temporary / "config.pbtxt").write_text(_cpu_config())
        (temporary / "configs" / "vllm.pbtxt").write_text(_VLLM)
        (version / "model.json").write_text(self._arguments(entry))
        if not _is_plain(entry.weights):
            (version / _LINK).symlink_to(entry.weights)
        if entry.base is not None:
            (version / BASE_LINK).symlink_to(entry.base)
        (version / "lineage.json").write_text(json.dumps(entry.lineage, indent=1, sort_keys=True))
        shutil.rmtree(self._folder / entry.target, ignore_errors=True)
        temporary.rename(self._folder / entry.target)

    def holds(self, entry: ModelToLoad) -> bool:
        """Whether this very entry is there already."""
        written = self._folder / entry.target / "1" / "model.json"
        return written.is_file() and written.read_text() == self._arguments(entry)

    def _arguments(self, entry: ModelToLoad) -> str:
        link = self._folder / entry.target / "1" / _LINK
        weights = entry.weights if _is_plain(entry.weights) else link
        return json.dumps({"model": str(weights), "max_num_seqs": self._num_slots}, indent=1)


def _is_plain(weights: Path) -> bool:
    """The stub's interpreter starts in the C locale: it can open no path with an é, only a link to it."""
    return str(weights).isascii()


def _cpu_config() -> str:
    inputs = (
        f'  {{ name: "{name}" data_type: {kind} dims: [ 1 ]{" optional: true" if optional else ""} }}'
        for name, kind, optional in INPUTS
    )
    outputs = (f'  {{ name: "{name}" data_type: {kind} dims: [ -1 ] }}' for name, kind in OUTPUTS)
    return _CPU.format(inputs=",\n".join(inputs), outputs=",\n".join(outputs))
