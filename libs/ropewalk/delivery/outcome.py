"""How a handler ends: three disjoint values, not booleans or None."""

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TypeVar

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


R = TypeVar("R")


async def outcome_or_error(work: Awaitable[R]) -> R | Exception:
    """The result, or whatever was raised. Cancellation passes through."""
    try:
        return await work
    except Exception as error:  # noqa: BLE001
        return error
