"""What is known of two models' answers to one task set, and what follows: figures, and which items to label next."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ropewalk.evaluator.domain.calibration.judged import JudgedItems, NotMeasurable
from ropewalk.evaluator.domain.clusters import MIN_CLUSTERS
from ropewalk.evaluator.domain.estimates import ONE_SIDED
from ropewalk.evaluator.domain.labelling.answered import AnsweredItem, Asked, Grades
from ropewalk.evaluator.domain.labelling.measured import LabelledAnswers
from ropewalk.evaluator.domain.labelling.rounds import FIRST_ROUND, Round, complete, first_round, next_round
from ropewalk.evaluator.domain.labelling.sheets import Sheet
from ropewalk.evaluator.domain.metric import CANDIDATE, ItemScore, Metric
from ropewalk.tasksets.definition import TaskSetFile

MOST_ROUNDS = 6
_Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Case:
    """`scores` by metric and judge, (2, items): ours and theirs. `num_said` people said something of a sheet.

    `metrics` are those that play a part in the gate, the primary one first; `level` is that of its interval.
    """

    of: TaskSetFile
    asked: Asked
    metrics: tuple[Metric, ...]
    opponent: str
    items: tuple[AnsweredItem, ...]
    scores: Mapping[str, Mapping[str, _Floats]]
    grades: Grades
    num_said: Mapping[str, int]
    rounds: tuple[Round, ...]
    seed: int
    level: float

    @property
    def labelled(self) -> tuple[Round, ...]:
        """The rounds that everybody wanted has seen to the end."""
        done = {each.item_id: self._is_done(each) for each in self.items}
        return complete(self.rounds, lambda item_id: done[item_id])

    @property
    def drawn(self) -> set[str]:
        """The items whose labels count."""
        return {item_id for each in self.labelled for item_id in each.drawn}

    def measured(self) -> tuple[LabelledAnswers, ...]:
        """Each metric, as it is known now."""
        return tuple(map(self._measured, self.metrics))

    def with_next_rounds(self) -> "Case":
        """The same with what is to be labelled now; with nothing more once it is decided, or everything is drawn."""
        now = self if self.rounds else replace(self, rounds=(first_round(self._ids, self.seed),))
        while len(now.labelled) == len(now.rounds) < MOST_ROUNDS:
            open_ones = [each for each in now.measured() if now.is_open(each)]
            more = now._next(open_ones[0]) if open_ones else None
            if more is None:
                break
            now = replace(now, rounds=(*now.rounds, more))
        return now

    def sheets(self) -> tuple[Sheet, ...]:
        """All that was drawn so far, in the order of the items."""
        drawn = {item_id for each in self.rounds for item_id in each.drawn}
        chances = self.rounds[-1].chances if self.rounds else ()
        return tuple(
            sheet
            for item, chance in zip(self.items, chances, strict=False)
            if item.item_id in drawn
            for metric in self._names
            for sheet in self.asked.sheets(item, metric, chance)
        )

    def num_missing(self) -> int:
        """Sheets of which too few people have said anything."""
        return sum(self._is_missing(each) for each in self.sheets())

    def num_left(self, found: LabelledAnswers) -> int:
        """Items that people could label, of a metric that does not know enough; none where no sheet is left."""
        return len(self.items) - len(self.drawn) if self.num_missing() and self.is_open(found) else 0

    def is_open(self, found: LabelledAnswers) -> bool:
        """Whether more labels could change what the gate makes of it."""
        spread = found.gain_over(self.opponent, self.seed, self._level_of(found))
        part, interval = self.of.gate[self._name(found)], spread.interval
        if spread.num_clusters < MIN_CLUSTERS:
            return True
        if part.role == "primary":
            return interval.lower <= part.margin <= interval.upper
        return interval.lower < -part.margin <= interval.upper

    @property
    def _ids(self) -> list[str]:
        return [each.item_id for each in self.items]

    @property
    def _names(self) -> tuple[str, ...]:
        return self.of.deciding

    def _name(self, found: LabelledAnswers) -> str:
        return found.metric.name.partition("/")[2]

    def _level_of(self, found: LabelledAnswers) -> float:
        return self.level if self._name(found) == self.of.primary else ONE_SIDED

    def _is_missing(self, sheet: Sheet) -> bool:
        return self.num_said.get(sheet.sheet_id, 0) < self.of.raters_each

    def _is_done(self, item: AnsweredItem) -> bool:
        return not any(self._is_missing(sheet) for name in self._names for sheet in self.asked.sheets(item, name))

    def _next(self, found: LabelledAnswers) -> Round | None:
        known = found.calibrated(self.opponent, self.seed, self._level_of(found))
        if isinstance(known, NotMeasurable):
            return next_round(self._ids, self.rounds, np.zeros(len(self.items)), FIRST_ROUND, self.seed)
        part = self.of.gate[self._name(found)]
        bound = part.margin if part.role == "primary" else -part.margin
        reach = abs(known.interval.value - bound)
        wanted = known.labels_wanted(reach) if reach > 0 else math.inf
        return next_round(self._ids, self.rounds, known.predictions, int(min(wanted, len(self.items))), self.seed)

    def _measured(self, metric: Metric) -> LabelledAnswers:
        name = metric.name.partition("/")[2]
        by_judge = self.scores.get(name, {})
        labels = self.asked.label_arrays(self.items, name, self.grades, self.drawn)
        chances = np.array(self.labelled[-1].chances if self.labelled else [1.0] * len(self.items))
        samples = {}
        for side, scorer in enumerate((CANDIDATE, self.opponent)):
            samples[scorer] = JudgedItems(
                scores=self._columns([each[side] for each in by_judge.values()]),
                labels=labels[side],
                chances=chances,
                clusters=[each.cluster for each in self.items],
            )
        rows = tuple(self._rows(metric, samples))
        return LabelledAnswers(metric, rows, samples=samples, judges=tuple(by_judge))

    def _columns(self, by_judge: Sequence[_Floats]) -> _Floats:
        """(items, judges); where there is no judge, one that says the same of all."""
        return np.stack(by_judge, axis=1) if by_judge else np.zeros((len(self.items), 1))

    def _rows(self, metric: Metric, samples: Mapping[str, JudgedItems]) -> list[ItemScore]:
        """The mean score of the judges by item; the label, where no judge is asked."""
        name, rows = metric.name.partition("/")[2], []
        for place, item in enumerate(self.items):
            values = {
                scorer: float(sample.scores[place].mean() if self.scores.get(name) else sample.labels[place])
                for scorer, sample in samples.items()
            }
            if not any(map(math.isnan, values.values())):
                rows.append(self._row(metric.name, item, values))
        return rows

    def _row(self, metric: str, item: AnsweredItem, values: dict[str, float]) -> ItemScore:
        full_name = self.of.full_name
        return ItemScore(
            metric=metric,
            tasks=f"items of {full_name}",
            item_id=item.item_id,
            path=f"{full_name}/{item.item_id}",
            cluster=item.cluster,
            num_bytes=len(item.question.encode()),
            values=values,
        )
