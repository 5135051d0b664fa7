"""What one service hears, does and says: the rows of `contract.py` in each of the seven.

Its consumers, its rights on the bus and the lists in its docstring are derived from them, so the same fact stands in
one place. A contract is data: its module imports message types and nothing else, and whoever owns the server reads
it by name (`ropewalk.admin.contracts`), for no library may import a service.
"""

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ropewalk.events.base import Message
from ropewalk.events.consumers import ConsumerSpec, handler, stage

M = TypeVar("M", bound=Message)


@dataclass(frozen=True)
class Reaction(Generic[M]):
    """A handler of one message type. `purpose` is one word, for it becomes part of a consumer's name."""

    purpose: str
    kind: type[M]

    def consumers(self, service: str) -> tuple[ConsumerSpec, ...]:
        """The consumers of it on the server."""
        assert self.purpose.isidentifier(), f"{self.purpose!r} becomes part of a consumer's name"
        return (handler(service, self.purpose, self.kind),)


@dataclass(frozen=True)
class Stage(Generic[M]):
    """Long work under a lease, asked for by messages of the type `kind`."""

    name: str
    kind: type[M]

    def consumers(self, service: str) -> tuple[ConsumerSpec, ...]:
        """Its requests, its leases that end, its watchdogs and its deadlines, in this order."""
        return stage(service, self.name, self.kind)


@dataclass(frozen=True, kw_only=True)
class Contract:
    """The one table of a service.

    `tables` are consumers whose messages a background task takes in batches, `reads` streams that it reads besides
    CONTROL, `answers` the questions that it answers besides `ctl.ping.<service>`. Who `watches` may see what there is
    on the bus and how old it is, and ask the other services. `follows` are subjects that every instance hears, whoever
    of them takes the messages.
    """

    service: str
    listens: tuple[Reaction[Any] | Stage[Any], ...]
    emits: tuple[type[Message], ...]
    tables: tuple[ConsumerSpec, ...] = ()
    reads: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    watches: bool = False
    follows: tuple[str, ...] = ()

    @property
    def stages(self) -> tuple[str, ...]:
        """The names of its stages."""
        return tuple(row.name for row in self.listens if isinstance(row, Stage))

    @property
    def consumers(self) -> tuple[ConsumerSpec, ...]:
        """Every durable consumer that it binds to."""
        return (*(spec for row in self.listens for spec in row.consumers(self.service)), *self.tables)
