"""Which models the decoder of the endpoint runs faithfully, told by config.json alone. No torch here."""

from collections.abc import Mapping
from typing import Any

FAMILIES = ("qwen3", "qwen2", "llama", "mistral")


def why_not_served(config: Mapping[str, Any]) -> str:
    """The first thing in a config.json that the decoder cannot do; empty if it runs the model."""
    family = config.get("model_type")
    if family not in FAMILIES:
        return f"model_type is {family!r}; this decoder runs {', '.join(FAMILIES)}"
    rope = rope_of(config).get("rope_type", "default")
    if rope != "default":
        return f"rope_type is {rope!r}; this decoder knows only 'default'"
    if config.get("hidden_act", "silu") != "silu":
        return f"hidden_act is {config['hidden_act']!r}; this decoder knows only 'silu'"
    window = config.get("use_sliding_window", family == "mistral") and config.get("sliding_window")
    if window and window < config.get("max_position_embeddings", 0):
        return f"sliding_window is {window}; this decoder has no window attention"
    return ""


def rope_of(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """`rope_parameters` since transformers 5, `rope_scaling` before."""
    return config.get("rope_parameters") or config.get("rope_scaling") or {}
