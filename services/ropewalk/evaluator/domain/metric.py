"""A metric is a thing: what it asks, how an answer becomes a score, and how scores become a number with its interval.

A new metric is a module in `metrics` that holds a `Metric`, and its place in `metrics.METRICS`.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from ropewalk.evaluator.domain.tasks import Item, TaskSet
from ropewalk.evaluator.ports import Scorer
from ropewalk.statistics.intervals import Spread

CANDIDATE = "candidate"  # the scorer that is judged
_SHOWN_CHARACTERS = 200


@dataclass(frozen=True)
class Effort:
    """How much may be asked of a model: `times` as much as the first time. `seed` chooses what."""

    seed: int
    num_completions: int = 0  # 0: the documents are no code
    times: int = 1


@dataclass(frozen=True)
class Finding:
    """The score of one answer, and what the model said if it said something."""

    value: float
    said: str = ""


@dataclass(frozen=True, kw_only=True)
class ItemScore:
    """What one metric found about one item of a task set, by scorer. `num_bytes` of the item were scored.

    `num_words` are counted where the item belongs to a task set that somebody registered.
    """

    metric: str
    tasks: str
    item_id: str
    path: str
    cluster: str
    num_bytes: int
    num_words: int = 0
    values: dict[str, float]
    prompt_end: str = ""
    said: dict[str, str] = field(default_factory=dict)


Statistic = Callable[[Sequence[float], Sequence[ItemScore], int, float], Spread]
"""From one number per item, the items, a seed and the level of the interval to a number with its interval."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """`quantity`, `better` and `unit` are as in `Estimate`; `definition` is the sentence that a report keeps.

    `level` is given the scores of one scorer, `gain` the differences between two, where positive is better; None: there
    is no difference to speak of. `task_set` is the one it asks, with its version, if somebody registered that.
    """

    name: str
    quantity: str
    better: Literal["lower", "higher"]
    unit: Literal["", "share"] = ""
    definition: str
    select: Callable[[TaskSet, Effort], TaskSet]
    score: Callable[[Scorer, Sequence[Item]], Sequence[Finding] | None]
    level: Statistic
    gain: Statistic | None
    task_set: str = ""


@dataclass(frozen=True)
class Measurement:
    """One metric and what it found; `rows` is not empty. `items` are those it asked, where they are at hand."""

    metric: Metric
    rows: tuple[ItemScore, ...]
    items: tuple[Item, ...] = ()

    def values(self, scorer: str) -> list[float]:
        """The scores of one scorer."""
        return [row.values[scorer] for row in self.rows]

    @property
    def scorers(self) -> tuple[str, ...]:
        """Who answered, the candidate first."""
        return tuple(self.rows[0].values)

    @property
    def tasks(self) -> str:
        """What its sample counts, in words."""
        return self.rows[0].tasks

    def level_of(self, scorer: str, seed: int, level: float) -> Spread:
        """What one scorer gets."""
        values = self.values(scorer)
        found = self.metric.level(values, self.rows, seed, level)
        if min(values) >= 0 > found.interval.lower > -math.inf:  # what is never below 0 is not in the mean either
            return replace(found, interval=replace(found.interval, lower=0.0))
        return found

    def gain_over(self, scorer: str, seed: int, level: float) -> Spread:
        """By how much the candidate is better on the same items; positive is better."""
        assert self.metric.gain is not None, "only what has a gain is asked for one"
        sign = 1 if self.metric.better == "higher" else -1
        pairs = zip(self.values(CANDIDATE), self.values(scorer), strict=True)
        return self.metric.gain([sign * (ours - theirs) for ours, theirs in pairs], self.rows, seed, level)


def ask(
    metrics: Iterable[Metric], scorers: Mapping[str, Scorer], documents: TaskSet, effort: Effort
) -> tuple[Measurement, ...]:
    """Ask every scorer the same items. A metric with nothing to ask, or that the candidate cannot answer, is left out.

    `scorers` begins with the candidate. Items that one of the scorers cannot read are asked of none.
    """
    asked = []
    for metric in metrics:
        tasks = metric.select(documents, effort)
        # A gain is paired, so every scorer must have answered every item.
        items = tuple(item for item in tasks.items if all(scorer.takes(item) for scorer in scorers.values()))
        found = {name: metric.score(scorer, items) for name, scorer in scorers.items()} if items else {}
        able = {name: findings for name, findings in found.items() if findings is not None}
        if CANDIDATE in able:
            rows = tuple(_row(metric, tasks, place, item, able) for place, item in enumerate(items))
            asked.append(Measurement(metric, rows, items))
    return tuple(asked)


def _row(metric: Metric, tasks: TaskSet, place: int, item: Item, found: Mapping[str, Sequence[Finding]]) -> ItemScore:
    mine = {name: findings[place] for name, findings in found.items()}
    return ItemScore(
        metric=metric.name,
        tasks=tasks.name,
        item_id=item.item_id,
        path=item.path,
        cluster=item.cluster,
        num_bytes=item.num_bytes,
        num_words=item.num_words if metric.task_set else 0,
        values={name: finding.value for name, finding in mine.items()},
        prompt_end=item.shown[-_SHOWN_CHARACTERS:] if any(finding.said for finding in mine.values()) else "",
        said={name: finding.said for name, finding in mine.items() if finding.said},
    )
