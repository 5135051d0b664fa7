"""Every message type there is. A type that is not here does not exist on the bus."""

from ropewalk.errors import RopewalkError
from ropewalk.events import checkpoint, data, drill, evaluation, monitoring, run, serving, training
from ropewalk.events.base import Message

_MODULES = (run, data, training, checkpoint, evaluation, serving, monitoring, drill)


def _concrete(module: object) -> list[type[Message]]:
    return [
        member
        for member in vars(module).values()
        if isinstance(member, type) and issubclass(member, Message) and hasattr(member, "name")
    ]


MESSAGE_TYPES: tuple[type[Message], ...] = tuple(kind for module in _MODULES for kind in _concrete(module))
BY_TYPE_NAME: dict[str, type[Message]] = {kind.type_name(): kind for kind in MESSAGE_TYPES}


class UnknownMessageError(RopewalkError, ValueError):
    """The CloudEvents type of a message is not one of ours."""


def message_type(type_name: str) -> type[Message]:
    """The class of a CloudEvents type. Raises UnknownMessageError."""
    try:
        return BY_TYPE_NAME[type_name]
    except KeyError:
        raise UnknownMessageError(f"unknown message type {type_name!r}; `ropewalk contracts` lists them all") from None


def type_of_subject(subject: str) -> type[Message]:
    """The class of the messages on a subject, for senders that set no headers. Raises UnknownMessageError."""
    return message_type("ropewalk." + subject.rpartition(".")[0])
