"""The process that measures a model. Only plain values go in and come out; torch is loaded inside."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ropewalk.evaluator.adapters.corpus import find_seen, fit_baselines, read_items
from ropewalk.evaluator.domain.completions import MAX_NEW_TOKENS, CompletionPrompt, cut_prompts, parses
from ropewalk.evaluator.domain.estimates import (
    BASE,
    CANDIDATE,
    NGRAMS,
    CompletionScore,
    ItemScore,
    best_ngram,
    estimate_all,
    estimate_gain,
)
from ropewalk.evaluator.domain.excerpts import Item, choose
from ropewalk.evaluator.domain.ngram import MAX_ORDER, NgramModel
from ropewalk.evaluator.domain.samples import Sample, openings
from ropewalk.events.evaluation import Estimate
from ropewalk.stages.errors import StageError

if TYPE_CHECKING:
    from ropewalk.evaluator.adapters.scoring import Continuation, ScoredModel  # torch: only in the child

_SHOWN_CHARACTERS = 200
_UNREAD = (
    "the chat template refuses every held-out conversation, so the model cannot be judged: hold out conversations as "
    "the template wants them, for example beginning with the user"
)


@dataclass(frozen=True, kw_only=True)
class Opponent:
    """The model to beat: its column in the scores, and where it lies: a folder or, for a base model, a hub id too.

    `dataset` is what it learnt from, where that is known.
    """

    column: str
    name: str
    uri: str
    model: str
    dataset: Path | None = None


@dataclass(frozen=True, kw_only=True)
class MeasuringJob:
    """Fetched folders. Without an `opponent` the best n-gram model is to beat, or the unigram for a toy."""

    checkpoint_id: str
    export: Path
    dataset: Path
    evalset: Path
    opponent: Opponent | None
    is_toy: bool
    num_completions: int  # 0: the documents are no code
    seed: int
    threads: int


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Everything the report needs. `num_seen` of the held-out documents the opponent learnt from; None: not known.

    Those are in none of the numbers, unless they are all there is.
    """

    opponent: str
    num_held_out: int
    num_seen: int | None
    estimates: tuple[Estimate, ...]
    gain: Estimate
    items: tuple[ItemScore, ...]
    completions: tuple[CompletionScore, ...]
    num_baseline_tokens: int
    samples: tuple[Sample, ...] = ()


def measure(job: MeasuringJob, report: Callable[[object], None]) -> Measured:
    """Score, complete, compare. Raises StageError when nothing was held out or the base model does not load."""
    import torch
    from transformers.utils.logging import disable_progress_bar

    from ropewalk.evaluator.adapters.scoring import ScoredModel

    torch.set_num_threads(job.threads)
    disable_progress_bar()  # this process writes into a log
    held_out = read_items(job.evalset)
    seen = _seen_by_opponent(held_out, job)
    unseen = [item for item in held_out if item.item_id not in (seen or ())] or held_out
    items = choose(unseen, job.seed)
    if not items:
        raise StageError("no document was held out, so the model cannot be judged: raise evaluation.held_out_fraction")
    candidate = ScoredModel(job.export)
    opponent = None if job.opponent is None else _load_opponent(job.opponent, job.export)
    items = tuple(item for item in items if all(model.reads(item) for model in (candidate, opponent) if model))
    if not items:
        raise StageError(_UNREAD)
    baselines, num_tokens = fit_baselines(job.dataset, candidate.vocab_size)
    columns = {CANDIDATE: candidate.bits(items)}
    if job.opponent and opponent:
        columns[job.opponent.column] = opponent.bits(items)
    for order, name in enumerate(NGRAMS, start=1):
        columns[name] = [_ngram_bits(baselines, order, candidate, item) for item in items]
    scores = _rows(items, columns)
    completions = _complete(candidate, opponent, unseen, job) if job.num_completions else ()
    compared, name = _compared(job, scores)
    return Measured(
        opponent=name,
        num_held_out=len(held_out),
        num_seen=None if seen is None else len(seen),
        estimates=estimate_all(scores, completions, candidate=job.checkpoint_id, seed=job.seed),
        gain=estimate_gain(scores, compared, subject=name, seed=job.seed),
        items=scores,
        completions=completions,
        num_baseline_tokens=num_tokens,
        samples=() if completions else _sample(candidate, items, job.seed),
    )


def _compared(job: MeasuringJob, scores: Sequence[ItemScore]) -> tuple[str, str]:
    """The column to compare with, and what it is called in sentences."""
    if job.opponent:
        return job.opponent.column, job.opponent.name
    column = NGRAMS[0] if job.is_toy else best_ngram(scores)
    return column, f"the token {column}"


def _seen_by_opponent(held_out: Sequence[Item], job: MeasuringJob) -> set[str] | None:
    """The n-gram models learn from the candidate's own training tokens, which hold nothing that is held out."""
    if job.opponent is None:
        return set()
    return find_seen(held_out, job.evalset, job.opponent.dataset) if job.opponent.dataset else None


def _load_opponent(opponent: Opponent, export: Path) -> "ScoredModel":
    """A base model reads with the candidate's tokenizer: its own, which may have gained a chat template."""
    from ropewalk.evaluator.adapters.scoring import ScoredModel

    if opponent.column != BASE:
        return ScoredModel(opponent.model)
    try:
        return ScoredModel(opponent.model, tokenizer=export)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise StageError(
            f"base_model {opponent.model!r} cannot be loaded any more, so the model cannot be compared with it: "
            f"{reason}"
        ) from None


def _rows(items: Sequence[Item], columns: dict[str, list[float]]) -> tuple[ItemScore, ...]:
    return tuple(
        ItemScore(
            item_id=item.item_id,
            path=item.path,
            num_bytes=item.num_bytes,
            bits={name: column[index] for name, column in columns.items()},
            split_key=item.split_key,
        )
        for index, item in enumerate(items)
    )


def _ngram_bits(baselines: NgramModel, order: int, candidate: "ScoredModel", item: Item) -> float:
    """The same tokens as the model is scored on, with end tokens before the first."""
    bits = 0.0
    for document in candidate.documents(item):
        tokens = np.array([candidate.eos_id] * (MAX_ORDER - 1) + list(document.tokens), dtype=np.int64)
        costs = -np.log2(baselines.probabilities(tokens, order))
        bits += float(costs.sum() if document.counted is None else costs[np.array(document.counted)].sum())
    return bits


def _sample(candidate: "ScoredModel", items: Sequence[Item], seed: int) -> tuple[Sample, ...]:
    """For people who read the report; nothing is counted from it."""
    if candidate.context_length <= MAX_NEW_TOKENS:
        return ()
    chosen = openings(items, seed)
    return tuple(
        Sample(path=opening.path, prompt_end=opening.shown, completion=continuation.text)
        for opening, continuation in zip(chosen, candidate.go_on(chosen), strict=True)
    )


def _complete(
    candidate: "ScoredModel", opponent: "ScoredModel | None", items: Sequence[Item], job: MeasuringJob
) -> tuple[CompletionScore, ...]:
    """Both complete the same prompts; an opponent whose context is too small for that completes none."""
    if candidate.context_length <= MAX_NEW_TOKENS:
        return ()
    prompts = cut_prompts(items, job.num_completions, job.seed)
    texts = [prompt.text for prompt in prompts]
    theirs: Sequence[Continuation | None] = [None] * len(prompts)
    if opponent is not None and opponent.context_length > MAX_NEW_TOKENS:
        theirs = opponent.complete(texts)
    return tuple(
        CompletionScore(
            path=prompt.path,
            prompt_end=prompt.text[-_SHOWN_CHARACTERS:],
            completion=ours.text,
            parsed=_parses(prompt, ours),
            opponent_parsed=None if other is None else _parses(prompt, other),
        )
        for prompt, ours, other in zip(prompts, candidate.complete(texts), theirs, strict=True)
    )


def _parses(prompt: CompletionPrompt, continuation: "Continuation") -> bool:
    return parses(prompt.statement, continuation.text, ended=continuation.ended)
