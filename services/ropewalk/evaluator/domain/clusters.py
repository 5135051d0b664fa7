"""Which held-out items vary together: the files of a package or a site, the records of an author, a conversation.

What a source names counts first: records that agree in its `key_field`, parts of one text. Of the others the folders
decide: the shallowest level (the source, a folder in it, a folder in that, …, the file, the record) at which there are
MIN_CLUSTERS even groups. Fewer would leave nothing to tell chance from, so a corpus of few packages is taken apart
further, and what is then said holds for more files of these packages, not for other ones.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from ropewalk.evaluator.domain.tasks import Item

MIN_CLUSTERS = 10


def clustered(items: Iterable[Item]) -> list[Item]:
    """The items with their `cluster_key`, which depends on nothing but where all of them come from."""
    found = list(items)
    levels = [_levels(item) for item in found]
    deepest = max(map(len, levels), default=0)

    def keys(depth: int) -> list[str]:
        return [item.split_key or "/".join(each[:depth]) for item, each in zip(found, levels, strict=True)]

    depth = next((at for at in range(1, deepest) if _evenness(keys(at)) >= MIN_CLUSTERS), deepest)
    return [replace(item, cluster_key=key) for item, key in zip(found, keys(depth), strict=True)]


def _evenness(keys: Sequence[str]) -> float:
    """How many groups of one size would be as even (inverse Simpson index, 1949): beside one folder that holds nearly
    everything, ten loose files are no ten groups."""
    sizes = Counter(keys).values()
    return sum(sizes) ** 2 / sum(size**2 for size in sizes)


def _levels(item: Item) -> tuple[str, ...]:
    """`src`, `json`, `decoder.py` for a file, and another level for a record `#7` of one."""
    file, mark, record = item.path.rpartition("#")
    places = (file, mark + record) if mark and "/" not in record else (item.path,)
    return (item.source_id, *places[0].split("/"), *places[1:])
