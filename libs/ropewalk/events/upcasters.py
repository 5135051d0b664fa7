"""Messages of an older major version, read as today's.

A change that is no addition is a new major: a new class, a new subject (`….v2.…`), and here a function from the JSON
object of the old form to that of the new one. Whatever reads messages (handlers, sinks, replay, the retry of a dead
letter) applies it, so the old class may go while its messages stay in the log. The rules are in docs/evolution.md.
"""

from collections.abc import Callable
from dataclasses import dataclass

from pydantic import JsonValue

Fields = dict[str, JsonValue]
_FAMILY = "ropewalk."


@dataclass(frozen=True, kw_only=True)
class Upcaster:
    """`convert` is pure and total on what the old type allowed; it may raise on anything else."""

    old: str
    new: str
    convert: Callable[[Fields], Fields]


def _capacity_of_a_stage(fields: Fields) -> Fields:
    """The stage was in `run_id`, as every message had one."""
    others = {name: value for name, value in fields.items() if name != "run_id"}
    return {**others, "stage": fields["run_id"]}


_CAPACITY = "ropewalk.state.run.capacity"
UPCASTERS: dict[str, Upcaster] = {
    f"{_CAPACITY}.v1": Upcaster(old=f"{_CAPACITY}.v1", new=f"{_CAPACITY}.v2", convert=_capacity_of_a_stage),
}
"""By the old CloudEvents type, one entry per step: v1 -> v2, v2 -> v3."""


def present_form(type_name: str, fields: Fields) -> tuple[str, Fields]:
    """The newest type of a message and its fields in that form."""
    while step := UPCASTERS.get(type_name):
        type_name, fields = step.new, step.convert(fields)
    return type_name, fields


def newest_type(type_name: str) -> str:
    """The type that messages of this type are read as."""
    while step := UPCASTERS.get(type_name):
        type_name = step.new
    return type_name


def older_types(type_name: str) -> tuple[str, ...]:
    """Every type whose messages are read as `type_name`, the newest first."""
    direct = [step.old for step in UPCASTERS.values() if step.new == type_name]
    return tuple(name for old in direct for name in (old, *older_types(old)))


def with_older_forms(subject_filter: str) -> tuple[str, ...]:
    """A filter on one type's subjects, and those on the subjects of its older forms."""
    prefix, _, entity = subject_filter.rpartition(".")
    older = older_types(_FAMILY + prefix) if UPCASTERS else ()
    return (subject_filter, *(f"{name.removeprefix(_FAMILY)}.{entity}" for name in older))
