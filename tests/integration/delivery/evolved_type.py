"""A type of the tests in its second major version: seconds were a text once and the shelf had no name."""

from collections.abc import Callable
from typing import ClassVar

from ropewalk.events.base import Event
from ropewalk.events.upcasters import Fields, Upcaster


class ShelfCleared(Event):
    """Somebody made room."""

    family: ClassVar[str] = "checkpoint"
    name: ClassVar[str] = "shelf_cleared"
    major: ClassVar[int] = 2
    seconds: float
    shelf: str


OLD = "ropewalk.evt.checkpoint.shelf_cleared.v1"
OLD_SUBJECT = OLD.removeprefix("ropewalk.")


def convert(fields: Fields) -> Fields:
    """From v1 to v2."""
    return {"run_id": fields["run_id"], "seconds": float(str(fields["took"]).removesuffix(" s")), "shelf": "main"}


def register(set_item: Callable[[dict, str, object], None] = dict.__setitem__) -> None:
    """Make the type known, with `monkeypatch.setitem` for one test only."""
    from ropewalk.events.registry import BY_TYPE_NAME
    from ropewalk.events.upcasters import UPCASTERS

    set_item(BY_TYPE_NAME, ShelfCleared.type_name(), ShelfCleared)
    set_item(UPCASTERS, OLD, Upcaster(old=OLD, new=ShelfCleared.type_name(), convert=convert))
