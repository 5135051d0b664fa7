"""What a service would have sent and could not: shown to whoever asks why nothing moves."""

import time
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Annotated

from pydantic import Field

Moment = Annotated[float, Field(ge=0, le=2.5e11)]
"""Seconds since 1970 that `datetime` can hold in every time zone. Who reads an answer with others cannot read it."""


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """`since` is in seconds since 1970, 0 while nothing waits; `reason` is why the oldest send was not accepted."""

    num_sends: int = 0
    since: Moment = 0.0
    subject: str = ""
    reason: str = ""


def told_by_oldest(waiting: Collection[Waiting]) -> Waiting:
    """All of them as one, with the subject and the reason of the one that waits longest."""
    oldest = min(waiting, key=lambda each: each.since, default=Waiting())
    return replace(oldest, num_sends=sum(each.num_sends for each in waiting))


class WaitingSends:
    """The sends of one connection that were tried and not accepted yet."""

    def __init__(self) -> None:
        self._sends: dict[int, Waiting] = {}
        self._next = 0

    def begin(self) -> int:
        """A number for a new send. The send counts as waiting only after a try of it was not accepted."""
        self._next += 1
        return self._next

    def refused(self, number: int, subject: str, reason: str) -> None:
        """A try was not accepted; the send goes on waiting."""
        known = self._sends.get(number)
        since = known.since if known else time.time()
        self._sends[number] = Waiting(num_sends=1, since=since, subject=subject, reason=reason)

    def end(self, number: int) -> None:
        """The send was accepted or given up."""
        self._sends.pop(number, None)

    def summary(self) -> Waiting:
        """All of them, told by the oldest."""
        return told_by_oldest(self._sends.values())
