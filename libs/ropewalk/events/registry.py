"""Every message type there is: what the modules of this package define. A new one is found by itself."""

import importlib
import pkgutil
from types import ModuleType
from typing import TypeVar

from ropewalk import events
from ropewalk.errors import RopewalkError
from ropewalk.events.base import Message, Value

V = TypeVar("V", bound=Value)
_NO_FAMILIES = {"asyncapi", "base", "registry"}  # one defines what a message is, two stand on this list


def _defined(module: ModuleType, kind: type[V]) -> list[type[V]]:
    members = [each for each in vars(module).values() if isinstance(each, type) and issubclass(each, kind)]
    return [each for each in members if each.__module__ == module.__name__ and not each.__name__.startswith("_")]


_NAMES = [found.name for found in pkgutil.iter_modules(events.__path__) if found.name not in _NO_FAMILIES]
_MODULES = [importlib.import_module(f"{events.__name__}.{name}") for name in _NAMES]
FAMILIES: tuple[ModuleType, ...] = tuple(module for module in _MODULES if _defined(module, Value))
MESSAGE_TYPES: tuple[type[Message], ...] = tuple(kind for family in FAMILIES for kind in _defined(family, Message))
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
