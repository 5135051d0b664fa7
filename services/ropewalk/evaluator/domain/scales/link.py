"""From grades of several graders on several scales to one: the expected grade of a typical human, from 0 to 1."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ropewalk.evaluator.domain.scales.grades import SCALES, ScaledGrade
from ropewalk.evaluator.domain.scales.latent import NODES, Given, Latent, fit, normal, posterior

_Floats = NDArray[np.float64]
_ROUNDS, _STILL = 200, 1e-4


@dataclass(frozen=True)
class Rated:
    """What one grader said of one item. A grader has one scale: who grades on two is two graders."""

    item: str
    grader: str
    grade: ScaledGrade


@dataclass(frozen=True)
class Pair:
    """The first item got 1 (won), .5 (tied) or 0 against the second."""

    first: str
    second: str
    score: float


@dataclass(frozen=True)
class Link:
    """A fitted model; grades on `reference` are what it is expressed in. `bridging`: by other scale, how many items
    were graded on both."""

    reference: str
    scales: tuple[str, ...]
    graders: tuple[str, ...]
    latent: Latent
    bridging: Mapping[str, int]

    def expected(self, rated: Sequence[Rated], pairs: Sequence[Pair] = ()) -> dict[str, float]:
        """By item, from grades on any of the scales: the grade on `reference` to expect, 0 for its lowest level to 1.

        How good these items are on the whole is learned from them, not taken from the items that made the link. Items
        that were only compared with each other have the mean of the link's. Raises ValueError on a grader or a scale
        that the link does not know.
        """
        names, tables, numbers = _read(self, rated, pairs)
        mean, spread, found = 0.0, 1.0, np.tile(normal(0.0, 1.0), (len(names), 1))
        for _ in range(_ROUNDS if rated else 1):
            found, _evidence = posterior(numbers, self.latent, tables, normal(mean, spread), found)
            before, mean = mean, float((found @ NODES).mean())
            spread = max(0.1, float(np.sqrt((found @ NODES**2).mean() - mean**2)))
            if abs(mean - before) < _STILL:
                break
        grades = found @ self.latent.typical(self.scales.index(self.reference))
        return dict(zip(names, map(float, grades), strict=True))


def link(rated: Sequence[Rated], pairs: Sequence[Pair] = (), reference: str = "1-5") -> Link:
    """Fit one quality per item behind all grades and pairs.

    Raises ValueError where a scale shares no item with the others by any chain, or nothing is on the reference.
    """
    graders = {each.grader: each.grade.scale_id for each in rated}
    if wrong := [each.grader for each in rated if graders[each.grader] != each.grade.scale_id]:
        raise ValueError(f"{wrong[0]} graded on two scales: give each a grader of its own")
    scales = tuple(dict.fromkeys(graders.values()))
    if reference not in scales:
        raise ValueError(f"nothing was graded on {reference}, the scale to express others in")
    items = {scale: {each.item for each in rated if each.grade.scale_id == scale} for scale in scales}
    _refuse_islands(items)
    names = tuple(graders)
    place = {name: number for number, name in enumerate(_items(rated, pairs))}
    given = Given(
        len(place),
        np.array([place[each.item] for each in rated]),
        np.array([names.index(each.grader) for each in rated]),
        np.array([each.grade.place for each in rated]),
        _numbers(pairs, place),
    )
    scale_of = [scales.index(scale) for scale in graders.values()]
    latent, _posterior = fit(given, scale_of, [SCALES[scale].levels for scale in scales])
    bridging = {scale: len(items[scale] & items[reference]) for scale in scales if scale != reference}
    return Link(reference, scales, names, latent, bridging)


def _refuse_islands(items: Mapping[str, set[str]]) -> None:
    first, *others = items
    reached, left = set(items[first]), set(others)
    while near := {scale for scale in left if items[scale] & reached}:
        reached |= set().union(*(items[scale] for scale in near))
        left -= near
    if left:
        raise ValueError(f"no item was graded on {' and '.join(sorted(left))} and another scale: they are not linked")


def _items(rated: Sequence[Rated], pairs: Sequence[Pair]) -> list[str]:
    return list(
        dict.fromkeys([each.item for each in rated] + [name for each in pairs for name in (each.first, each.second)])
    )


def _numbers(pairs: Sequence[Pair], place: Mapping[str, int]) -> _Floats:
    return np.array([(place[each.first], place[each.second], each.score) for each in pairs]).reshape(-1, 3)


def _read(link: Link, rated: Sequence[Rated], pairs: Sequence[Pair]) -> tuple[list[str], list[_Floats], _Floats]:
    names = _items(rated, pairs)
    place = {name: number for number, name in enumerate(names)}
    tables = [np.zeros((len(names), SCALES[link.scales[scale]].levels)) for scale in link.latent.scale_of]
    for each in rated:
        if each.grader not in link.graders:
            raise ValueError(f"the link knows no grader {each.grader}, so not how strict they are")
        grader = link.graders.index(each.grader)
        if link.scales[link.latent.scale_of[grader]] != each.grade.scale_id:
            raise ValueError(f"{each.grader} graded on another scale than {each.grade.scale_id} when the link was made")
        tables[grader][place[each.item], each.grade.place] += 1
    return names, tables, _numbers(pairs, place)
