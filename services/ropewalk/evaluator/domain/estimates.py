"""From scores per item to the numbers of a report, every one with its interval."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ropewalk.evaluator.domain.metric import CANDIDATE, Measurement
from ropewalk.evaluator.domain.roles import BASE, GAIN, NGRAMS, Rules, gain_over
from ropewalk.events.evaluation import Estimate
from ropewalk.statistics.intervals import LEVEL, Spread

ONE_SIDED = round(2 * LEVEL - 1, 9)  # of a guardrail: each bound is wrong in 1 - LEVEL of all cases
PRODUCTION = "production"
SHORT, INSTRUCTION, SHOTS = "base", "instruction", "shots"  # how the base model is asked the examples of a task
SUBJECTS = {
    PRODUCTION: "in production before",
    BASE: "base model",
    SHORT: "base model with the short prompt",
    INSTRUCTION: "base model with the instruction",
    SHOTS: "base model with the instruction and worked examples",
} | {name: name.replace("baseline_", "token ") for name in NGRAMS}


@dataclass(frozen=True)
class Contest:
    """Who is judged, and against whom: `opponent` among the scorers, `name` in sentences.

    Over each scorer of `others` there is a gain, too; the rules say whether one decides.
    """

    checkpoint_id: str
    opponent: str
    name: str
    others: Mapping[str, str] = field(default_factory=dict)  # names by scorer

    def gain_name(self, metric: str, scorer: str) -> str:
        """What the estimate of a metric's gain over a scorer is called."""
        return metric + GAIN if scorer == self.opponent else gain_over(metric, scorer)


def estimate_all(asked: Sequence[Measurement], contest: Contest, rules: Rules, seed: int) -> tuple[Estimate, ...]:
    """The candidate by every metric, then the others, then the gains over the opponent; each in its role."""
    found = [(each, CANDIDATE) for each in asked]
    found += [(each, scorer) for each in asked for scorer in each.scorers if scorer != CANDIDATE]
    levels = [_level(each, scorer, contest.checkpoint_id, rules, seed) for each, scorer in found]
    against = {contest.opponent: contest.name} | dict(contest.others)
    gains = [
        _gain(each, contest.gain_name(each.metric.name, scorer), (scorer, name), rules, (seed, LEVEL))
        for each in asked
        for scorer, name in against.items()
        if scorer in each.scorers and each.metric.gain is not None
    ]
    return (*levels, *gains)


def surer(
    estimates: Sequence[Estimate], judged: Measurement, contest: Contest, rules: Rules, *, seed: int, level: float
) -> tuple[Estimate, ...]:
    """The same estimates, but for the primary one, whose interval is of another level."""
    name = contest.gain_name(judged.metric.name, contest.opponent)
    primary = _gain(judged, name, (contest.opponent, contest.name), rules, (seed, level))
    return tuple(primary if each.role == "primary" else each for each in estimates)


def best_baseline(asked: Measurement, names: Sequence[str]) -> str:
    """The scorer that is best on the same items; among equals the first."""
    sign = 1 if asked.metric.better == "lower" else -1
    levels = {name: asked.metric.level(asked.values(name), asked.rows, 0, LEVEL).interval.value for name in names}
    return min(names, key=lambda name: sign * levels[name])


def _level(asked: Measurement, scorer: str, checkpoint_id: str, rules: Rules, seed: int) -> Estimate:
    spread = asked.level_of(scorer, seed, LEVEL)
    if scorer == CANDIDATE:
        return _estimate(asked, asked.metric.name, checkpoint_id, spread, rules)
    return _estimate(asked, f"{scorer}_{asked.metric.name}", SUBJECTS[scorer], spread, rules)


def _gain(
    asked: Measurement, metric: str, opponent: tuple[str, str], rules: Rules, drawn: tuple[int, float]
) -> Estimate:
    """Both on the same items; positive says that the candidate is better.

    The opponent by its column and its name; `drawn`: the seed, and the level for all but guardrails.
    """
    column, name = opponent
    seed, level = drawn
    spread = asked.gain_over(column, seed, ONE_SIDED if rules.role(metric) == "guardrail" else level)
    return _estimate(asked, metric, name, spread, rules, paired=True)


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
        num_clusters=spread.num_clusters,
        num_effective=spread.num_effective,
        task_set=asked.metric.task_set,
        method=f"paired {spread.method}" if paired else spread.method,
        subject=subject,
        role=rules.role(name),
        quantity=asked.metric.quantity,
        items=asked.tasks,
        unit=asked.metric.unit,
        better=asked.metric.better,
        paired=paired,
    )
