"""Poison and healthy traffic: what is sent, what must come of it. Pure."""

import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from ropewalk.bus.codec import RawMessage
from ropewalk.bus.dead_letters import CONSUMER, SEQUENCE


def bad_bodies(run_id: str) -> tuple[bytes, ...]:
    """Bodies that no consumer can read, whatever its message type."""
    return (
        b"not even JSON",
        b"",
        b"[1, 2, 3]",
        b'{"run_id": "\xff\xfe"}',  # no UTF-8
        b'{"run_id": "' + run_id.encode(),  # cut short
        b"{}",
        b'{"run_id": "somebody-else"}',
        b'{"run_id": {"nested": [true]}}',
    )


def poisons(prefixes: Sequence[str], number: int, drill_id: str, seed: int) -> list[tuple[str, bytes]]:
    """Subject and body of `number` poisonous messages; every one is about a run of its own."""
    chosen = random.Random(seed)
    runs = [f"{drill_id}-p{index:02d}" for index in range(number)]
    subjects = [f"{prefixes[index % len(prefixes)]}.{run_id}" for index, run_id in enumerate(runs)]
    return [(subject, chosen.choice(bad_bodies(run_id))) for subject, run_id in zip(subjects, runs, strict=True)]


@dataclass(frozen=True)
class Readers:
    """Consumers of one subject: those that decode it and must reject poison, and those that take everything."""

    must: tuple[str, ...]
    may: tuple[str, ...]


def readers_of(consumers: Mapping[str, Sequence[str]]) -> dict[str, Readers]:
    """Subject without run id -> who reads it, from the filters of every durable consumer."""
    by_prefix: dict[str, list[str]] = {}
    for name, filters in consumers.items():
        for prefix in {found for each in filters if (found := prefix_of(each))}:
            by_prefix.setdefault(prefix, []).append(name)
    return {
        prefix: Readers(
            must=tuple(names),
            may=tuple(
                name
                for name, filters in consumers.items()
                if name not in names and any(matches(each, f"{prefix}.x") for each in filters)
            ),
        )
        for prefix, names in by_prefix.items()
    }


def matches(subject_filter: str, subject: str) -> bool:
    """Whether a filter with wildcards takes a subject."""
    wanted, tokens = subject_filter.split("."), subject.split(".")
    for index, token in enumerate(wanted):
        if token == ">":
            return len(tokens) > index
        if index >= len(tokens) or token not in ("*", tokens[index]):
            return False
    return len(wanted) == len(tokens)


def prefix_of(subject_filter: str) -> str | None:
    """The subject of a consumer without its run id, if it reads one message type of the log for all runs."""
    tokens = subject_filter.split(".")
    plain = len(tokens) == 5 and tokens[0] in ("cmd", "evt") and tokens[4] in ("*", ">")
    return ".".join(tokens[:4]) if plain and "*" not in tokens[:4] else None


def letters_about(letters: Iterable[RawMessage], sequences: Iterable[int]) -> list[RawMessage]:
    """The dead letters about messages at these sequences."""
    wanted = {str(sequence) for sequence in sequences}
    return [letter for letter in letters if letter.headers.get(SEQUENCE) in wanted]


def letters_wrong(
    letters: Iterable[RawMessage], poison: Mapping[int, str], readers: Mapping[str, Readers]
) -> tuple[str, ...]:
    """Whatever is not exactly one letter per poisonous message and consumer that reads it, a sentence each.

    `poison` is sequence -> subject without run id. Who takes everything may set a message aside, once.
    """
    found = Counter(
        (int(letter.headers[SEQUENCE]), letter.headers.get(CONSUMER, "")) for letter in letters_about(letters, poison)
    )
    wanted = {(sequence, name) for sequence, prefix in poison.items() for name in readers[prefix].must}
    allowed = wanted | {(sequence, name) for sequence, prefix in poison.items() for name in readers[prefix].may}
    missing = [f"message {sequence} has no dead letter from {name}" for sequence, name in sorted(wanted - set(found))]
    strange = [f"message {sequence} has a dead letter from {name}" for sequence, name in sorted(set(found) - allowed)]
    twice = [f"message {sequence} has {n} dead letters from {name}" for (sequence, name), n in found.items() if n > 1]
    return (*missing, *strange, *twice)


def slower(before: Sequence[float], during: Sequence[float]) -> tuple[bool, str]:
    """Whether healthy traffic suffered, and in words how. Latencies in seconds.

    Poison is work, too, and a drill sees a few dozen messages on a machine that does other things. What holds
    others up costs them seconds (a retry's pause, an ack wait), so the median may double and grow by 250 ms.
    """
    if not before or not during:
        return True, "healthy messages were not answered"
    told = (
        f"median {median(before) * 1e3:.0f} ms before and {median(during) * 1e3:.0f} ms among poison,"
        f" slowest {max(before) * 1e3:.0f} and {max(during) * 1e3:.0f} ms"
    )
    return median(during) > 2 * median(before) + 0.25, told  # seconds
