"""Asking how a deployment is, with nothing but the address of its bus."""

from dataclasses import dataclass

from pydantic import TypeAdapter

from ropewalk.bus.wire import Address, NoResponderError, SilenceError, Wire
from ropewalk.status.look import look
from ropewalk.status.problems import Problem, problems_of
from ropewalk.status.seen import Seen

SUBJECT = "ctl.status"
_PATIENCE_S = 2.0  # a look takes about a second at most


@dataclass(frozen=True, kw_only=True)
class Status:
    """The answer on `ctl.status`: what is seen of a deployment, and what is wrong with it, the worst first."""

    seen: Seen
    problems: tuple[Problem, ...]


def status_of(bus: Address, services: tuple[str, ...]) -> Status:
    """What the monitor answers; where it does not, what can be seen from here. Raises WireError if the bus is away.

    One question is enough for a user who may only ask, and for a bus that is far away. Looking oneself takes the
    rights of an operator, and works while the monitor is what is broken.
    """
    with Wire(bus, _PATIENCE_S) as wire:  # fails here if the bus is away: then there is nothing to look at
        try:
            return TypeAdapter(Status).validate_json(wire.request(SUBJECT, b"").body)
        except (NoResponderError, SilenceError, ValueError):  # the last: it answered that it cannot
            return looked_at(bus, services)


def looked_at(bus: Address, services: tuple[str, ...]) -> Status:
    """Look now, with the rights of this user. Takes about a second at most."""
    seen = look(bus, services)
    return Status(seen=seen, problems=problems_of(seen))
