"""What a service would have sent and could not: shown to whoever asks why nothing moves."""

import time
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """`since` is in seconds since 1970, 0 while nothing waits; `reason` is why the oldest send was not accepted."""

    num_sends: int = 0
    since: float = 0.0
    subject: str = ""
    reason: str = ""


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
        if not self._sends:
            return Waiting()
        oldest = next(iter(self._sends.values()))  # in the order of the first refusals
        return Waiting(num_sends=len(self._sends), since=oldest.since, subject=oldest.subject, reason=oldest.reason)
