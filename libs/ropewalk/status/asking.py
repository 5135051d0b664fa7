"""Asking how a deployment is, with nothing but the address of its bus."""

import time
from dataclasses import dataclass

from pydantic import TypeAdapter

from ropewalk.bus.wire import Address, NoResponderError, SilenceError, Wire, WireError
from ropewalk.events.foreign import one_line
from ropewalk.status.look import look
from ropewalk.status.problems import Problem, problems_of
from ropewalk.status.seen import BrokerView, Seen

SUBJECT = "ctl.status"
_PATIENCE_S = 2.0  # a look takes about a second at most


@dataclass(frozen=True, kw_only=True)
class Status:
    """The answer on `ctl.status`: what is seen of a deployment, and what is wrong with it, the worst first."""

    seen: Seen
    problems: tuple[Problem, ...]


def status_of(bus: Address, services: tuple[str, ...]) -> Status:
    """What the monitor answers; where it does not, what can be seen from here.

    One question is enough for a user who may only ask, and for a bus that is far away. Looking oneself takes the
    rights of an operator, and works while the monitor is what is broken.
    """
    try:
        with Wire(bus, _PATIENCE_S) as wire:
            try:
                return TypeAdapter(Status).validate_json(wire.request(SUBJECT, b"").body)
            except (NoResponderError, SilenceError, ValueError):  # the last: it answered that it cannot
                return looked_at(bus, services)
    except WireError as error:  # the bus is away: there is nothing to look at
        seen = Seen(now=time.time(), broker=BrokerView(away=True, error=one_line(str(error), 400)))
        return Status(seen=seen, problems=problems_of(seen))


def looked_at(bus: Address, services: tuple[str, ...]) -> Status:
    """Look now, with the rights of this user. Takes about a second at most."""
    seen = look(bus, services)
    return Status(seen=seen, problems=problems_of(seen))
