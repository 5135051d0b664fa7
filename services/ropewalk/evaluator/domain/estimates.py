"""From scores per item to the numbers of a report, every one with its interval."""

from collections.abc import Sequence
from dataclasses import dataclass

from ropewalk.evaluator.domain.intervals import Spread
from ropewalk.evaluator.domain.metric import CANDIDATE, Measurement
from ropewalk.evaluator.domain.roles import GAIN, Rules
from ropewalk.events.evaluation import Estimate

PRODUCTION, BASE = "production", "base_model"
NGRAMS = ("baseline_unigram", "baseline_bigram", "baseline_trigram")
SUBJECTS = {PRODUCTION: "in production before", BASE: "base model"} | {
    name: name.replace("baseline_", "token ") for name in NGRAMS
}


@dataclass(frozen=True)
class Contest:
    """Who is judged, and against whom: `opponent` among the scorers, `name` in sentences."""

    checkpoint_id: str
    opponent: str
    name: str


def estimate_all(asked: Sequence[Measurement], contest: Contest, rules: Rules, seed: int) -> tuple[Estimate, ...]:
    """The candidate by every metric, then the others, then the gains over the opponent; each in its role."""
    found = [(each, CANDIDATE) for each in asked]
    found += [(each, scorer) for each in asked for scorer in each.scorers if scorer != CANDIDATE]
    levels = [_level(each, scorer, contest.checkpoint_id, rules, seed) for each, scorer in found]
    return (*levels, *(_gain(each, contest, rules, seed) for each in asked if contest.opponent in each.scorers))


def best_baseline(asked: Measurement, names: Sequence[str]) -> str:
    """The scorer that is best on the same items; among equals the first."""
    sign = 1 if asked.metric.better == "lower" else -1
    return min(names, key=lambda name: sign * sum(asked.values(name)))


def _level(asked: Measurement, scorer: str, checkpoint_id: str, rules: Rules, seed: int) -> Estimate:
    spread = asked.metric.level(asked.values(scorer), asked.rows, seed)
    if scorer == CANDIDATE:
        return _estimate(asked, asked.metric.name, checkpoint_id, spread, rules)
    return _estimate(asked, f"{scorer}_{asked.metric.name}", SUBJECTS[scorer], spread, rules)


def _gain(asked: Measurement, contest: Contest, rules: Rules, seed: int) -> Estimate:
    """Both on the same items; positive says that the candidate is better."""
    sign = 1 if asked.metric.better == "higher" else -1
    pairs = zip(asked.values(CANDIDATE), asked.values(contest.opponent), strict=True)
    spread = asked.metric.gain([sign * (ours - theirs) for ours, theirs in pairs], asked.rows, seed)
    return _estimate(asked, asked.metric.name + GAIN, contest.name, spread, rules, paired=True)


def _estimate(
    asked: Measurement, name: str, subject: str, spread: Spread, rules: Rules, *, paired: bool = False
) -> Estimate:
    return Estimate(
        metric=name,
        value=spread.interval.value,
        lower=spread.interval.lower,
        upper=spread.interval.upper,
        level=spread.level,
        num_items=spread.num_items,
        method=f"paired {spread.method}" if paired else spread.method,
        subject=subject,
        role=rules.role(name),
        quantity=asked.metric.quantity,
        items=asked.rows[0].tasks,
        unit=asked.metric.unit,
        better=asked.metric.better,
        paired=paired,
    )
