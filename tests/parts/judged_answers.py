"""A simulated world: two models' answers whose quality is known, people who see it with noise, and a biased judge."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ropewalk.evaluator.domain.labelling.answered import AnsweredItem, Asked
from ropewalk.evaluator.domain.labelling.case import Case
from ropewalk.evaluator.domain.labelling.sheets import Sheet
from ropewalk.evaluator.domain.metrics.sets import set_metrics
from ropewalk.tasksets.definition import TaskSetFile

TOP = 3


@dataclass(frozen=True)
class World:
    """`quality` of each answer, from 0 to 3, by its text."""

    items: tuple[AnsweredItem, ...]
    quality: dict[str, float]

    @property
    def gain(self) -> float:
        """Of the mean label of all items, which people round."""
        return float(np.mean([self.label(each.ours) - self.label(each.theirs) for each in self.items])) / TOP

    def label(self, text: str) -> int:
        """What everybody gives."""
        return round(self.quality[text])


def a_world(count: int, *, seed: int, gain: float = 0.2) -> World:
    """Clusters of two."""
    rng = np.random.default_rng(seed)
    items, quality = [], {}
    for number in range(count):
        ours, theirs = f"ours {number}", f"theirs {number}"
        middle = rng.uniform(0.3, TOP - 0.3)
        quality[ours] = float(np.clip(middle + TOP * gain / 2 + rng.normal(0, 0.6), 0, TOP))
        quality[theirs] = float(np.clip(middle - TOP * gain / 2 + rng.normal(0, 0.6), 0, TOP))
        items.append(
            AnsweredItem(
                item_id=f"{number:04d}", cluster=f"c{number // 2}", question=f"q{number}", ours=ours, theirs=theirs
            )
        )
    return World(tuple(items), quality)


def a_definition(kind: str = "judge", **fields: object) -> TaskSetFile:
    metric = "correctness" if kind == "judge" else "preferred"
    return TaskSetFile.model_validate(
        {
            "id": "answers",
            "version": 1,
            "use_case": "u",
            "data": {"file": "f", "sha256": "0" * 64},
            "licence": "CC0-1.0",
            "cluster_key": "g",
            "type": kind,
            "criteria": ["correctness"],
            "gate": {metric: {"role": "primary", "margin": 0.02}},
            **fields,
        }
    )


def a_case(
    world: World, *, kind: str = "judge", judge: str = "", seed: int = 7, raters_each: int = 1, rubric: str = "one"
) -> Case:
    """Before anybody labelled anything. The judge sees the quality, lifts everything and shrinks what is good."""
    of = a_definition(kind, raters_each=raters_each)
    metric = of.deciding[0]
    scores = {}
    if judge:
        rng = np.random.default_rng(seed)
        seen = [[world.quality[each.ours], world.quality[each.theirs]] for each in world.items]
        both = 0.4 + 0.5 * np.array(seen).T / TOP + rng.normal(0, 0.04, (2, len(seen)))
        if kind == "pairwise":
            ours = np.clip(0.6 + both[0] - both[1], 0, 1)
            both = np.stack([ours, 1 - ours])
        scores = {metric: {judge: both}}
    return Case(
        of=of,
        asked=Asked({"correctness": TOP} if kind == "judge" else {}, {metric: rubric}),
        metrics=set_metrics(of)[:1],
        opponent="production",
        items=world.items,
        scores=scores,
        grades={},
        num_said={},
        rounds=(),
        seed=seed,
        level=0.95,
    )


def labelled_by_people(case: Case, world: World, *, only: Sequence[Sheet] | None = None) -> Case:
    """Everything that is wanted, or only some of it."""
    given, said = dict(case.grades), dict(case.num_said)
    for sheet in case.sheets() if only is None else only:
        given[sheet.sheet_id] = {"anna": _said(sheet, world)}
        said[sheet.sheet_id] = case.of.raters_each
    return replace(case, grades=given, num_said=said)


def _said(sheet: Sheet, world: World) -> int:
    if len(sheet.answers) == 1:
        return world.label(sheet.answers[0])
    first, second = (world.label(each) for each in sheet.answers)
    return 0 if first > second else 2 if second > first else 1
