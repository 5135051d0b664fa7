"""What every projection has in common: one record per key, changed by registers that do not care about order.

A record is JSON and nothing else, so the state of a fold is its own snapshot. A register holds the sequence in the
log beside its value, and the highest (or lowest) sequence wins; what is counted or listed is kept by the sequence
of its message. So messages may come in any order across subjects. Repetitions are kept out by `projector`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from ropewalk.bus.codec import Stored
from ropewalk.events.base import Message

Json: TypeAlias = Any
Record: TypeAlias = dict[str, Any]
Step: TypeAlias = Callable[[Record, Stored[Any]], None]


@dataclass(frozen=True, kw_only=True)
class Fold:
    """One projection.

    `steps` says what each message type changes in the record that `key_of` names. `view` turns a record into what
    people see; it must depend on the record alone. `version` is raised when records change their meaning.
    """

    name: str
    version: int
    steps: Mapping[type[Message], Step]
    key_of: Callable[[Any], str]
    view: Callable[[str, Record], Json]


def keep_latest(record: Record, field: str, stored: Stored[Any], value: Json) -> None:
    """A register where the highest sequence wins."""
    held = record.get(field)
    if held is None or stored.sequence > held[0]:
        record[field] = [stored.sequence, value]


def keep_first(record: Record, field: str, stored: Stored[Any], value: Json) -> None:
    """A register where the lowest sequence wins."""
    held = record.get(field)
    if held is None or stored.sequence < held[0]:
        record[field] = [stored.sequence, value]


def collect(record: Record, field: str, stored: Stored[Any], value: Json) -> None:
    """Keep a value under the sequence of its message."""
    record.setdefault(field, {})[str(stored.sequence)] = value


def held(record: Record, field: str, default: Json = None) -> Json:
    """The value of a register."""
    found = record.get(field)
    return default if found is None else found[1]


def collected(record: Record, field: str) -> list[tuple[int, Json]]:
    """What was collected, in the order of the log, each with its sequence."""
    return sorted((int(sequence), value) for sequence, value in record.get(field, {}).items())


def run_of(message: Message) -> str:
    """The key of folds that keep one record per run."""
    return message.run_id


def log_time(time: datetime) -> str:
    """The time of a message in the log, RFC 3339 in UTC with microseconds: as text it sorts as the log does."""
    return time.isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"
