"""`ropewalk runs` without waiting for imports: the monitor of the embedded stack is asked over a plain socket.

Typer, pydantic and the asynchronous client take most of a second to import; this takes none of them. Whatever is
not the plain case (an option it does not know, a stack that is down, a monitor that does not answer) is left to the
command proper, which does the same with all means.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ropewalk.bus.wire import Address, WireError, open_wire
from ropewalk.cli.screens.run_list import DEFAULT_LIMIT, print_runs
from ropewalk.cli.settings import bus_environment, default_state_dir
from ropewalk.projections.asking import ask_runs

_TIMEOUT_S = 2.0
_USER = "operator"  # `admin.access` has it, and would import every message type
_IDENTITY = ("user", "password", "nkey_file", "tls_ca")


@dataclass(frozen=True)
class QuickListing:
    """What was asked for."""

    limit: int = DEFAULT_LIMIT
    status: str = ""
    as_json: bool = False
    state_dir: Path | None = None


def answer(arguments: list[str]) -> bool:
    """Do what the command line says, if it is a plain `runs`; whether it was done."""
    listing = parse(arguments)
    if listing is None:
        return False
    address = find_address(bus_environment(), listing.state_dir or default_state_dir())
    if address is None:
        return False
    try:
        with open_wire(address, _TIMEOUT_S) as wire:
            found = ask_runs(wire, listing.limit, listing.status)
    except WireError:
        return False
    print_runs(found, listing.status, sys.stdout, as_json=listing.as_json)
    return True


def parse(arguments: list[str]) -> QuickListing | None:
    """The options of `runs`, or None for everything else."""
    if arguments[:1] != ["runs"]:
        return None
    found: dict[str, Any] = {}
    words = iter(arguments[1:])
    for word in words:
        name, equals, value = word.partition("=")
        if word == "--json":
            found["as_json"] = True
            continue
        value = value if equals else next(words, "")
        if name == "--limit" and value.isdecimal() and int(value) > 0:
            found["limit"] = int(value)
        elif name == "--status" and value:
            found["status"] = value
        elif name == "--state-dir" and value:
            found["state_dir"] = Path(value).expanduser()
        else:
            return None
    return QuickListing(**found)


def find_address(environment: dict[str, str], state_dir: Path) -> Address | None:
    """The bus that the environment names, or that of the embedded stack; None if settings must decide."""
    given = {name: environment[name] for name in _IDENTITY if environment.get(name)}
    if "url" in environment:
        return Address(url=environment["url"], **given)
    if given:
        return None
    seed = state_dir / "keys" / f"{_USER}.seed"
    try:
        stack = json.loads((state_dir / "stack.json").read_bytes())
        return Address(url=stack["endpoints"]["nats"], user=_USER, nkey_file=str(seed)) if seed.is_file() else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
