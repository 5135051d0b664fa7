"""From scores per document to the numbers of a report, every one with its interval."""

from collections.abc import Sequence
from dataclasses import dataclass

from ropewalk.evaluator.domain.intervals import LEVEL, RESAMPLES, Interval, ratio, wilson
from ropewalk.events.evaluation import Estimate

CANDIDATE, PRODUCTION, BASE = "candidate", "production", "base_model"
NGRAMS = ("unigram", "bigram", "trigram")
GAIN = "bits_per_byte_gain"
_MODELS = {PRODUCTION: "the model in production", BASE: "the base model"}


@dataclass(frozen=True, kw_only=True)
class ItemScore:
    """What one document cost, in bits, under each model."""

    item_id: str
    path: str
    num_bytes: int
    bits: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class CompletionScore:
    """One completion and whether it parsed."""

    path: str
    prompt_end: str
    completion: str
    parsed: bool


def estimate_all(
    scores: Sequence[ItemScore], completions: Sequence[CompletionScore], *, candidate: str, seed: int
) -> tuple[Estimate, ...]:
    """Every metric of the report; `candidate` is the checkpoint that the main metrics are about."""
    estimates = [_bits_per_byte(scores, CANDIDATE, "bits_per_byte", candidate, seed)]
    if completions:
        estimates.append(_parse_rate(completions, candidate))
    estimates += [
        _bits_per_byte(scores, name, f"baseline_{name}_bits_per_byte", f"token {name}", seed) for name in NGRAMS
    ]
    estimates += [
        _bits_per_byte(scores, name, f"{name}_bits_per_byte", subject, seed)
        for name, subject in _MODELS.items()
        if all(name in score.bits for score in scores)
    ]
    return tuple(estimates)


def estimate_gain(scores: Sequence[ItemScore], baseline: str, *, subject: str, seed: int) -> Estimate:
    """The paired difference baseline - candidate: both models on the same files, whole files resampled."""
    files = _by_file(scores)
    sizes = [sum(score.num_bytes for score in group) for group in files]
    saved = [sum(score.bits[baseline] - score.bits[CANDIDATE] for score in group) for group in files]
    return _estimate(GAIN, ratio(saved, sizes, seed=seed), len(files), f"paired {_method(seed)}", subject)


def _bits_per_byte(scores: Sequence[ItemScore], model: str, metric: str, subject: str, seed: int) -> Estimate:
    files = _by_file(scores)
    sizes = [sum(score.num_bytes for score in group) for group in files]
    bits = [sum(score.bits[model] for score in group) for group in files]
    return _estimate(metric, ratio(bits, sizes, seed=seed), len(files), _method(seed), subject)


def _parse_rate(completions: Sequence[CompletionScore], subject: str) -> Estimate:
    interval = wilson(sum(completion.parsed for completion in completions), len(completions))
    return _estimate("parse_rate", interval, len(completions), "Wilson score interval", subject)


def _by_file(scores: Sequence[ItemScore]) -> list[list[ItemScore]]:
    files: dict[str, list[ItemScore]] = {}
    for score in scores:
        files.setdefault(score.path, []).append(score)
    return list(files.values())


def _method(seed: int) -> str:
    return f"file-clustered bootstrap-t of the ratio of sums, {RESAMPLES} resamples, seed {seed}"


def _estimate(metric: str, interval: Interval, num_items: int, method: str, subject: str) -> Estimate:
    return Estimate(
        metric=metric,
        value=interval.value,
        lower=interval.lower,
        upper=interval.upper,
        level=LEVEL,
        num_items=num_items,
        method=method,
        subject=subject,
    )
