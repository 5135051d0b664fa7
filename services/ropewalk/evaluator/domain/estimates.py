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
    split_key: str = ""

    @property
    def cluster(self) -> str:
        """What varies as a whole: documents that belong together, or one file."""
        return self.split_key or self.path


@dataclass(frozen=True, kw_only=True)
class CompletionScore:
    """One completion and whether it parsed; the opponent's only where it completes, too."""

    path: str
    prompt_end: str
    completion: str
    parsed: bool
    opponent_parsed: bool | None = None


def estimate_all(
    scores: Sequence[ItemScore], completions: Sequence[CompletionScore], *, candidate: str, seed: int
) -> tuple[Estimate, ...]:
    """Every metric of the report; `candidate` is the checkpoint that the main metrics are about."""
    estimates = [_bits_per_byte(scores, CANDIDATE, "bits_per_byte", candidate, seed)]
    if completions:
        estimates.append(_parse_rate([each.parsed for each in completions], "parse_rate", candidate))
    estimates += [
        _bits_per_byte(scores, name, f"baseline_{name}_bits_per_byte", f"token {name}", seed) for name in NGRAMS
    ]
    estimates += [
        _bits_per_byte(scores, name, f"{name}_bits_per_byte", subject, seed)
        for name, subject in _MODELS.items()
        if all(name in score.bits for score in scores)
    ]
    if theirs := [each.opponent_parsed for each in completions if each.opponent_parsed is not None]:
        estimates.append(_parse_rate(theirs, "opponent_parse_rate", "the opponent"))
    return tuple(estimates)


def best_ngram(scores: Sequence[ItemScore]) -> str:
    """The n-gram model that needs the fewest bits; among equals the simplest."""
    return min(NGRAMS, key=lambda name: sum(score.bits[name] for score in scores))


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


def _parse_rate(parsed: Sequence[bool], metric: str, subject: str) -> Estimate:
    return _estimate(metric, wilson(sum(parsed), len(parsed)), len(parsed), "Wilson score interval", subject)


def _by_file(scores: Sequence[ItemScore]) -> list[list[ItemScore]]:
    files: dict[str, list[ItemScore]] = {}
    for score in scores:
        files.setdefault(score.cluster, []).append(score)
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
