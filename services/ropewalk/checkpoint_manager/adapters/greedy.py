"""What the trainer's weights and the export say to the same prompts, without any server.

The two paths share as little as possible: the first is a plain loop of full forward passes over the checkpoint's own
file with the tokenizer of the data, the second is transformers' generation with its cache over the export alone. Runs
in a child process.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ropewalk.checkpoint_manager.adapters.export import load_strictly
from ropewalk.checkpoint_manager.adapters.reading import readings
from ropewalk.checkpoint_manager.domain.parity import (
    LOGPROB_BOUNDS,
    NUM_TOKENS,
    PROMPT_TOKENS,
    Completion,
    find_other_encodings,
    find_shift,
)
from ropewalk.stages.errors import StageError

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True, kw_only=True)
class GreedyJob:
    """Fetched folders, and prompts that may be too long. `tokenizer` is the one that the data were read with.

    `base`: of an adapter on an import.
    """

    checkpoint: Path
    base: Path | None = None
    tokenizer: Path
    export: Path
    prompts: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class GreedyResult:
    """The prompts as they were used, and what each path said to them.

    `shift` is the largest difference of a token's log-probability, in nats; `bound` that of the `dtype` of the export.
    """

    prompts: tuple[str, ...]
    trainer: tuple[Completion, ...]
    export: tuple[Completion, ...]
    eos_id: int
    dtype: str
    bound: float
    shift: float
    differences: tuple[str, ...]


def complete_locally(job: GreedyJob, report: Callable[[object], None]) -> GreedyResult:
    """Continue every prompt on both paths, and compare what no server can tell. Raises StageError."""
    from transformers.utils.logging import disable_progress_bar

    from ropewalk.model.chat.encoder import Encoder
    from ropewalk.model.tokenizer import decode, load_tokenizer
    from ropewalk.model.weights import greedy_tokens, load_model

    disable_progress_bar()
    tokenizer = load_tokenizer(job.tokenizer)
    trained, exported = load_strictly(job.checkpoint, job.base), load_model(job.export)
    eos_id = tokenizer.eos_token_id
    room = trained.config.max_position_embeddings - NUM_TOKENS - 1

    tokens_of = Encoder(job.tokenizer).text  # as the endpoint does
    prompts = tuple(_shorten(lambda text: len(tokens_of(text)), prompt, room) for prompt in job.prompts)

    def said(ids: list[int], logprobs: list[float] | None = None) -> Completion:
        mean = sum(logprobs[-len(ids) :]) / len(ids) if logprobs and ids else None
        return Completion(text=decode(tokenizer, ids), token_ids=tuple(ids), logprob_mean=mean)

    trainer_said, export_said, ours, theirs = [], [], [], []
    for prompt in prompts:
        ids = tokens_of(prompt)
        new = greedy_tokens(trained, ids, NUM_TOKENS, eos_id)
        ours.append(_logprobs(trained, ids + new))
        theirs.append(_logprobs(exported, ids + new))
        trainer_said.append(said(new, ours[-1]))
        export_said.append(said(_generated(exported, ids)))
    dtype, bound = _bound_of(job.export)
    shift, sentence = find_shift(ours, theirs, bound)
    other = find_other_encodings(readings(job.tokenizer, trained), readings(job.export, exported, is_export=True))
    return GreedyResult(
        prompts=prompts,
        trainer=tuple(trainer_said),
        export=tuple(export_said),
        eos_id=eos_id,
        dtype=dtype,
        bound=bound,
        shift=shift,
        differences=tuple(filter(None, (other, sentence))),
    )


def _generated(model: "PreTrainedModel", ids: list[int]) -> list[int]:
    import torch

    row = torch.tensor([ids])  # (1, T)
    mask = torch.ones_like(row)
    out = model.generate(row, attention_mask=mask, max_new_tokens=NUM_TOKENS, do_sample=False, use_cache=True)
    new: list[int] = out[0, len(ids) :].tolist()
    return new


def _logprobs(model: "PreTrainedModel", ids: list[int]) -> list[float]:
    """Of each token but the first, in nats."""
    import torch

    with torch.inference_mode():
        logprobs = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, :-1].log_softmax(-1)  # (T - 1, V)
        found: list[float] = logprobs.gather(1, torch.tensor(ids[1:])[:, None])[:, 0].tolist()
    return found


def _bound_of(export: Path) -> tuple[str, float]:
    """The type in which the exported weights are stored, the coarsest of several, and its bound. Raises StageError."""
    from safetensors import safe_open

    kinds: set[str] = set()
    for path in sorted(export.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            kinds |= {str(file.get_slice(name).get_dtype()) for name in file.keys()}  # noqa: SIM118 (no mapping)
    if unknown := sorted(kinds - LOGPROB_BOUNDS.keys()):
        raise StageError(
            f"the export holds weights of type {unknown[0]}, for which no bound is known ({', '.join(LOGPROB_BOUNDS)} "
            "have one), so nothing was promoted"
        )
    dtype = max(kinds, key=lambda kind: LOGPROB_BOUNDS[kind])
    return dtype, LOGPROB_BOUNDS[dtype]


def _shorten(length: Callable[[str], int], prompt: str, room: int) -> str:
    while length(prompt) > min(PROMPT_TOKENS, room):
        prompt = prompt[: len(prompt) * 3 // 4]
    return prompt
