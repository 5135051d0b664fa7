"""How many tokens go through the model at a time. Pure: the model's shape and a memory in; tokens out.

A GPU starves on small pieces (124 M weights: 8,192 tokens at a time take three times as long as 65,536), and has
memory of its own that is known. The formula was fitted to an H100 at 124 M and 1 B weights.
"""

from transformers import PretrainedConfig

CPU_TOKENS = 8192  # bounds the memory of the logits; a CPU is as fast in small pieces
_CPU_BYTES = 2 * 1024**3  # that a rank on a CPU keeps for the backward pass, whatever the machine has
_LEAST_TOKENS = 256
_MOST_TOKENS = 131_072  # more at a time is no faster
_FILLED = 0.85  # of the memory; the rest is for fragments and other processes
_STATE_BYTES = 16  # per weight: itself, its gradient and up to two moments, fp32
_KEPT = 1.25  # what is kept for the backward pass over what the formula counts
_WORKSPACE_BYTES = 3 * 1024**3  # a piece of the logits, casts, the libraries' own


def tokens_at_once(config: PretrainedConfig, num_weights: int, memory_bytes: int) -> int:
    """How many tokens of a Qwen3 model in bf16 fit: a power of two, at least one window's worth of work is tried.

    `memory_bytes` is 0 where memory is shared with everybody (a CPU): then in fp32, in a share that is always the same.
    """
    per_token, tokens = _bytes_per_token(config), CPU_TOKENS
    if not memory_bytes:
        while tokens > _LEAST_TOKENS and 2 * tokens * per_token > _CPU_BYTES:
            tokens //= 2
        return tokens
    free = _FILLED * memory_bytes - _STATE_BYTES * num_weights - _WORKSPACE_BYTES
    tokens = 1024
    while tokens < _MOST_TOKENS and 2 * tokens * per_token <= free:
        tokens *= 2
    return tokens


def _bytes_per_token(config: PretrainedConfig) -> float:
    """What is kept of a token for the backward pass, in bf16."""
    width, query_heads = config.hidden_size, config.num_attention_heads
    head_dim = getattr(config, "head_dim", None) or width // query_heads
    heads = (query_heads + 2 * (getattr(config, "num_key_value_heads", None) or query_heads)) * head_dim
    inner = getattr(config, "intermediate_size", None) or 4 * width
    return _KEPT * 2 * (5 * width + heads + 3 * inner) * config.num_hidden_layers
