"""How a handler ends: three disjoint values, not booleans or None."""

from dataclasses import dataclass

from ropewalk.events.base import Message


@dataclass(frozen=True)
class Done:
    """The message is dealt with. `messages` follow from it and are published in one atomic batch."""

    messages: tuple[Message, ...] = ()


@dataclass(frozen=True)
class Retry:
    """Not now: deliver the message again after `delay_s`."""

    delay_s: float
    reason: str


@dataclass(frozen=True)
class Reject:
    """Never: set the message aside as a dead letter."""

    reason: str


Outcome = Done | Retry | Reject


class StageError(Exception):
    """A stage cannot succeed however often it is tried. The text is one clear sentence for the run's owner."""
