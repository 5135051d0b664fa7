"""Which items people label: a first round evenly, further ones by doubt, each item with a chance that is known."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ropewalk.evaluator.domain.calibration.judged import FEWEST_LABELS
from ropewalk.evaluator.domain.calibration.labels import doubt, draw, in_either, inclusion

FIRST_ROUND = 40  # items


@dataclass(frozen=True)
class Round:
    """`drawn` are the items that are new in it; `chances`, by item, those of being drawn in it or before."""

    drawn: tuple[str, ...]
    chances: tuple[float, ...]


def first_round(item_ids: Sequence[str], seed: int) -> Round:
    """Evenly, by the seed alone, so that runs that are compared with the same model have the same items drawn."""
    count = min(FIRST_ROUND, len(item_ids))
    chances = inclusion(np.ones(len(item_ids)), count)
    places = draw(chances, np.zeros(len(item_ids)), seed)
    return Round(tuple(item_ids[place] for place in places), tuple(map(float, chances)))


def next_round(
    item_ids: Sequence[str], before: Sequence[Round], predicted: ArrayLike, wanted: int, seed: int
) -> Round | None:
    """About `wanted` more (20 at least) in proportion to the doubt about the `predicted` gains; None: all are drawn."""
    drawn = {item_id for each in before for item_id in each.drawn}
    left = len(item_ids) - len(drawn)
    if not left:
        return None
    more = min(left, max(FEWEST_LABELS, wanted))
    count = min(len(item_ids), round(len(item_ids) * more / left))
    uncertainty = doubt(predicted, (-1.0, 1.0))
    for asked in (count, len(item_ids)):  # a draw may meet nothing but what was drawn before
        chances = inclusion(uncertainty, asked)
        places = draw(chances, np.asarray(predicted), seed + len(before))
        new = tuple(item_ids[place] for place in places if item_ids[place] not in drawn)
        if new:
            break
    together = in_either(before[-1].chances, chances)
    return Round(new, tuple(map(float, together)))


def complete(rounds: Sequence[Round], is_done: Callable[[str], bool]) -> tuple[Round, ...]:
    """The first rounds of which every item is done: what is known of half a round was not drawn by any known chance."""
    found = []
    for each in rounds:
        if not all(map(is_done, each.drawn)):
            break
        found.append(each)
    return tuple(found)
