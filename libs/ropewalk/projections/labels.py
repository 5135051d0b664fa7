"""What raters said of sheets, folded from the log."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from ropewalk.events.base import Message
from ropewalk.events.label import CANNOT_JUDGE, LabelGiven, LabelWithdrawn


@dataclass
class Labelled:
    """`labels` of a task set in the order of the log, without those that were taken back, which are `withdrawn`."""

    labels: dict[tuple[str, int], LabelGiven] = field(default_factory=dict)  # by rater and position
    withdrawn: dict[tuple[str, int], LabelGiven] = field(default_factory=dict)

    def add(self, message: Message) -> None:
        """The next message; the same one twice changes nothing. Only a rater's newest word may be taken back."""
        if not isinstance(message, LabelGiven | LabelWithdrawn):
            return
        place = (message.rater, message.position)
        if isinstance(message, LabelWithdrawn):
            label = self.labels.get(place)
            if label is not None and label.sheet_id == message.sheet_id and not self._has_later(*place):
                self.withdrawn[place] = self.labels.pop(place)
        elif message.grade >= CANNOT_JUDGE and place not in self.withdrawn:
            self.labels.setdefault(place, message)

    def _has_later(self, rater: str, position: int) -> bool:
        return any(who == rater and place > position for who, place in (*self.labels, *self.withdrawn))

    def raters(self) -> dict[str, set[str]]:
        """By sheet: who said anything of it, that it cannot be judged, too."""
        found: dict[str, set[str]] = {}
        for label in self.labels.values():
            if label.kind != "repeat":
                found.setdefault(label.sheet_id, set()).add(label.rater)
        return found

    def grades(self) -> dict[str, dict[str, int]]:
        """By sheet and rater. The first word about a sheet counts: a repeat measures how steady a rater is."""
        found: dict[str, dict[str, int]] = {}
        for label in self.labels.values():
            if label.grade != CANNOT_JUDGE and label.kind != "repeat":
                found.setdefault(label.sheet_id, {}).setdefault(label.rater, label.grade)
        return found


def given(messages: Iterable[Message]) -> Labelled:
    """All of them at once."""
    found = Labelled()
    for message in messages:
        found.add(message)
    return found
