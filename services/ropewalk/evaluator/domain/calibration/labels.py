"""Labels as a probability sample: with which chance an item is asked about, and estimates that undo these chances."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

_Floats = NDArray[np.float64]
_LEAST = 0.5  # of the mean chance: no label counts more than twice as much as the average one


def inclusion(uncertainty: ArrayLike, count: int) -> _Floats:
    """The chance of each item, (items,), to be among `count` drawn ones: in proportion to how unsure the judge is.

    `uncertainty` (items,) is not negative, as from `doubt`. No chance is above 1 or below half the mean. Raises
    ValueError where `count` is not between 1 and the number of items.
    """
    sizes = np.asarray(uncertainty, dtype=np.float64)
    if not 1 <= count <= len(sizes) or not (sizes >= 0).all():
        raise ValueError(f"{count} labels cannot be drawn from {len(sizes)} items")
    mean = count / len(sizes)
    shape = sizes / sizes.mean() if sizes.any() else np.ones(len(sizes))
    chances = mean * (_LEAST + (1 - _LEAST) * shape)
    while (over := chances > 1).any():  # what is certain leaves its surplus to the others
        surplus = (chances[over] - 1).sum()
        chances[over] = 1.0
        free = chances < 1
        chances[free] += surplus * chances[free] / chances[free].sum()
    return chances


def doubt(predictions: ArrayLike, span: tuple[float, float]) -> _Floats:
    """The largest standard deviation that labels within `span` with these means can have; (items,) as the means."""
    means = np.asarray(predictions, dtype=np.float64)
    return np.asarray(np.sqrt(np.maximum(0.0, (means - span[0]) * (span[1] - means))))


def in_either(first: ArrayLike, second: ArrayLike) -> _Floats:
    """The chance of each item to be drawn in at least one of two rounds. The second's may rest on the first's labels:
    what that makes of the chances is small where the first round only sets them."""
    return np.asarray(1 - (1 - np.asarray(first, dtype=np.float64)) * (1 - np.asarray(second, dtype=np.float64)))


def draw(chances: ArrayLike, scores: ArrayLike, seed: int) -> NDArray[np.int64]:
    """The places of the drawn items: systematic sampling (Madow 1949) in the order of the judge's scores.

    Going through the scores in order spreads the sample over all of them, as strata would. Both arrays are (items,).
    """
    wanted = np.asarray(chances, dtype=np.float64)
    rng = np.random.default_rng(seed)
    order = np.lexsort((rng.random(len(wanted)), np.asarray(scores)))
    ends = np.cumsum(wanted[order])
    ticks = rng.random() + np.arange(round(float(ends[-1])))
    return np.sort(order[np.searchsorted(ends, ticks[ticks < ends[-1]], side="right")])


def horvitz_thompson(values: ArrayLike, chances: ArrayLike) -> float:
    """The total over all items (1952) from the drawn ones' values and chances, both (drawn,)."""
    return float((np.asarray(values, dtype=np.float64) / checked(chances)).sum())


def checked(chances: ArrayLike) -> _Floats:
    """Chances of drawn items. Raises ValueError where one is missing: what was picked by hand measures nothing."""
    found = np.asarray(chances, dtype=np.float64)
    bad = np.flatnonzero(~((found > 0) & (found <= 1)))
    if bad.size:
        raise ValueError(
            f"label {bad[0]} was not drawn with a known chance (it has {found[bad[0]]:g}): labels that were picked by "
            "hand serve the rubric, only drawn ones measure"
        )
    return found
