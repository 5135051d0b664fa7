"""What the config of an adapter (peft's LoRA) says to who serves it. No torch here."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CONFIG = Path("adapter", "adapter_config.json")
_MAX_RANK = 64  # beyond it the low-rank part costs more than its own weights would
_CONTENT = re.compile(r".+@([0-9a-f]{64})", re.DOTALL)
_PLAIN: Mapping[str, Any] = {  # what the decoder adds is alpha / r * B A x, and nothing else
    "use_dora": False, "use_rslora": False, "fan_in_fan_out": False, "bias": "none",
    "rank_pattern": {}, "alpha_pattern": {}, "modules_to_save": None,
}  # fmt: skip


def read_config(export: Path) -> Mapping[str, Any]:
    """The config of the adapter below a folder; empty if there is none or it cannot be read."""
    try:
        said = json.loads((export / CONFIG).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def base_content(config: Mapping[str, Any]) -> str:
    """The content address of an adapter's imported base, or nothing if the adapter cannot be added at run time."""
    found = _CONTENT.fullmatch(str(config.get("base_model_name_or_path")))
    rank = config.get("r")
    plain = all(config.get(name, value) == value for name, value in _PLAIN.items())
    return found[1] if found and plain and isinstance(rank, int) and 0 < rank <= _MAX_RANK else ""
