"""Which files hold the weights of a Hugging Face folder, and whether they are whole. No torch here: headers only."""

import json
import re
from pathlib import Path

from ropewalk.model.errors import ModelError

_SAFETENSORS, _BIN = "model.safetensors", "pytorch_model.bin"
_MAX_INDEX_BYTES = 50_000_000
_MAX_HEADER_BYTES = 100_000_000  # the bound of the safetensors library itself
_MIN_BYTES = 1024  # a pointer of Git LFS has about 130
_SHARD = re.compile(r"-\d{5}-of-\d{5}\.")


class MissingShardError(ModelError, ValueError):
    """Weights in several files lack their index or one of the files."""


def weight_files(folder: Path) -> list[Path]:
    """The files that transformers would load; none if there are no weights. Raises MissingShardError."""
    for single, pattern in ((_SAFETENSORS, "*.safetensors"), (_BIN, "pytorch_model*.bin")):
        index = folder / f"{single}.index.json"
        if (folder / single).is_file():
            return [folder / single]
        if index.is_file():
            return _of_index(index)
        found = sorted(folder.glob(pattern))
        if any(_SHARD.search(path.name) for path in found):
            raise MissingShardError(f"its weights lie in several files, and their index {index.name} is missing")
        if found:
            return found
    return []


def why_not_whole(path: Path) -> str:
    """What is wrong with a file of weights, to be said behind its name; empty if nothing can be seen."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            begin = file.read(8)
            if begin == b"version " or size < 8:
                return "are a pointer of Git LFS, not the weights" if begin == b"version " else "are empty"
            if path.suffix != ".safetensors":
                return "" if size >= _MIN_BYTES else "are too short for weights"
            length = int.from_bytes(begin, "little")
            if not 2 <= length <= min(_MAX_HEADER_BYTES, size - 8):
                return "are no safetensors file, or are cut off"
            header = json.loads(file.read(length))
            ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    except (OSError, ValueError, RecursionError, KeyError, TypeError, IndexError, AttributeError) as error:
        return f"cannot be read ({error})"
    expected = 8 + length + max(ends, default=0)
    return "" if expected == size else f"have {size:,} bytes and their header says {expected:,}"


def _of_index(index: Path) -> list[Path]:
    try:
        if index.stat().st_size > _MAX_INDEX_BYTES:
            raise MissingShardError(f"its {index.name} is larger than {_MAX_INDEX_BYTES // 1_000_000} MB")
        names = sorted({str(name) for name in json.loads(index.read_bytes())["weight_map"].values()})
    except (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise MissingShardError(f"its {index.name} cannot be read ({error})") from None
    files = [index.parent / Path(name).name for name in names]
    for path in files:
        if not path.is_file():
            raise MissingShardError(f"its {index.name} names {path.name}, which is missing")
    return files
