"""Greedy completions from the trainer's weights and from the export, without any server.

The two paths share as little as possible: the first is a plain loop of full forward passes over the checkpoint's own
file, the second is transformers' generation with its cache over the export. Runs in a child process.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ropewalk.checkpoint_manager.adapters.export import load_strictly
from ropewalk.checkpoint_manager.domain.parity import NUM_TOKENS, PROMPT_TOKENS, Completion


@dataclass(frozen=True, kw_only=True)
class GreedyJob:
    """Fetched folders, and prompts that may be too long."""

    checkpoint: Path
    export: Path
    prompts: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class GreedyResult:
    """The prompts as they were used, and what each path said to them."""

    prompts: tuple[str, ...]
    trainer: tuple[Completion, ...]
    export: tuple[Completion, ...]
    eos_id: int


def complete_locally(job: GreedyJob, report: Callable[[object], None]) -> GreedyResult:
    """Continue every prompt on both paths."""
    import torch
    from transformers.utils.logging import disable_progress_bar

    from ropewalk.model.chat.encoder import Encoder
    from ropewalk.model.tokenizer import decode, load_tokenizer
    from ropewalk.model.weights import greedy_tokens, load_model

    disable_progress_bar()
    tokenizer = load_tokenizer(job.export)
    trained, exported = load_strictly(job.checkpoint), load_model(job.export)
    eos_id = tokenizer.eos_token_id
    room = trained.config.max_position_embeddings - NUM_TOKENS - 1

    tokens_of = Encoder(job.export).text  # as the endpoint does
    prompts = tuple(_shorten(lambda text: len(tokens_of(text)), prompt, room) for prompt in job.prompts)

    def said(ids: list[int]) -> Completion:
        return Completion(text=decode(tokenizer, ids), token_ids=tuple(ids))

    trainer_said, export_said = [], []
    for prompt in prompts:
        ids = tokens_of(prompt)
        trainer_said.append(said(greedy_tokens(trained, ids, NUM_TOKENS, eos_id)))
        row = torch.tensor([ids])  # (1, T)
        out = exported.generate(
            row, attention_mask=torch.ones_like(row), max_new_tokens=NUM_TOKENS, do_sample=False, use_cache=True
        )
        export_said.append(said(out[0, len(ids) :].tolist()))
    return GreedyResult(prompts=prompts, trainer=tuple(trainer_said), export=tuple(export_said), eos_id=eos_id)


def _shorten(length: Callable[[str], int], prompt: str, room: int) -> str:
    while length(prompt) > min(PROMPT_TOKENS, room):
        prompt = prompt[: len(prompt) * 3 // 4]
    return prompt
