"""How much of an answer is right: its leaves compared with those of the reference."""

from collections.abc import Hashable

from pydantic import JsonValue

Path = tuple[str | int, ...]


def leaves(value: JsonValue) -> dict[Path, JsonValue]:
    """Every value within that holds no other, by the keys and places that lead to it; empty lists and objects too.

    Walks with a stack of its own: no depth exhausts Python's.
    """
    found: dict[Path, JsonValue] = {}
    waiting: list[tuple[Path, JsonValue]] = [((), value)]
    while waiting:
        path, each = waiting.pop()
        if isinstance(each, dict) and each:
            waiting.extend(((*path, key), inner) for key, inner in each.items())
        elif isinstance(each, list) and each:
            waiting.extend(((*path, place), inner) for place, inner in enumerate(each))
        else:
            found[path] = each
    return found


def field_accuracy(given: JsonValue, wanted: JsonValue) -> float:
    """Share of leaves, of all that either of the two has, that both have with an equal value: 0…1.

    A leaf too many counts as one that is missing (the Jaccard index of the two sets of fields). Places in a list count,
    so one item too many at its beginning makes all others wrong. Two texts are equal or not.
    """
    ours, theirs = leaves(given), leaves(wanted)
    num_equal = sum(path in ours and is_equal(ours[path], leaf) for path, leaf in theirs.items())
    return num_equal / len(ours.keys() | theirs.keys())


def key_of(value: JsonValue) -> frozenset[Hashable]:
    """The same for values that `is_equal` calls equal, and for no others."""
    return frozenset((path, *_leaf_key(leaf)) for path, leaf in leaves(value).items())


def _leaf_key(leaf: JsonValue) -> tuple[str, Hashable]:
    if isinstance(leaf, dict | list):  # an empty one
        return type(leaf).__name__, None
    return ("bool" if isinstance(leaf, bool) else ""), leaf


def is_equal(one: JsonValue, other: JsonValue) -> bool:
    """As JSON Schema counts it: 1 is 1.0, but `true` is not 1. For whole values, however deep."""
    ours, theirs = leaves(one), leaves(other)
    return ours.keys() == theirs.keys() and all(_same(leaf, theirs[path]) for path, leaf in ours.items())


def _same(one: JsonValue, other: JsonValue) -> bool:
    return isinstance(one, bool) == isinstance(other, bool) and one == other
