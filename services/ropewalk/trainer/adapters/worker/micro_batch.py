"""How many tokens go through the model at a time. Pure: the model's shape and a memory in; tokens out.

A GPU starves on small pieces (124 M weights: 8,192 tokens at a time take three times as long as 65,536), and has
memory of its own that is known. The formula was fitted to an H100 at 124 M and 1 B weights.
"""

from transformers import PretrainedConfig

CPU_TOKENS = 8192  # bounds the memory of the logits; a CPU is as fast in small pieces
_MOST_TOKENS = 131_072  # more at a time is no faster
_FILLED = 0.85  # of the memory; the rest is for fragments and other processes
_STATE_BYTES = 16  # per weight: itself, its gradient and up to two moments, fp32
_KEPT = 1.25  # what is kept for the backward pass over what the formula counts
_WORKSPACE_BYTES = 3 * 1024**3  # a piece of the logits, casts, the libraries' own


def tokens_at_once(config: PretrainedConfig, num_weights: int, memory_bytes: int) -> int:
    """How many tokens of a Qwen3 model in bf16 fit: a power of two, at least one window's worth of work is tried.

    `memory_bytes` is 0 where memory is shared with everybody (a CPU).
    """
    if not memory_bytes:
        return CPU_TOKENS
    heads = (config.num_attention_heads + 2 * config.num_key_value_heads) * config.head_dim
    kept_per_layer = 2 * (5 * config.hidden_size + heads + 3 * config.intermediate_size)  # bytes per token, bf16
    per_token = _KEPT * kept_per_layer * config.num_hidden_layers
    free = _FILLED * memory_bytes - _STATE_BYTES * num_weights - _WORKSPACE_BYTES
    tokens = 1024
    while tokens < _MOST_TOKENS and 2 * tokens * per_token <= free:
        tokens *= 2
    return tokens
