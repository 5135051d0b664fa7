"""`keys`: the users of the bus, what they may do, and their keys."""

import re
from pathlib import Path
from typing import Annotated

import typer

from ropewalk.admin.access import OPERATOR, USERS, rights_of
from ropewalk.cli.options import AsJson, StateDir, layout
from ropewalk.cli.screens.terminal import Listing, complain, console, done, print_json, say
from ropewalk.events.foreign import one_line, quoted
from ropewalk.local.broker.deployment import create_deployment
from ropewalk.local.broker.keys import create_key, export_key, public_key, seed_file
from ropewalk.local.broker.rotation import rotate as rotate_key
from ropewalk.local.container_env import (
    PORTS,
    USUAL_PROJECT,
    Published,
    ensure_environment,
    passed_over,
    write_client_environment,
)
from ropewalk.local.errors import LocalError
from ropewalk.local.layout import Layout
from ropewalk.local.ports import LOOPBACK
from ropewalk.local.state import read_state

app = typer.Typer(name="keys", help="The users of the bus and their keys.", no_args_is_help=True)

# As the services of both container profiles and people on the machine itself call the bus.
_HOSTS = ("nats", *(f"nats-{number}.nats-peers" for number in range(3)), "localhost", LOOPBACK)
_PROJECT = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_LAST_PORTS_FROM = 65_535 - len(PORTS)

User = Annotated[str, typer.Argument(help=f"One of: {', '.join(USERS)}.")]


class UnknownUserError(LocalError):
    """There is no such user of the bus."""


class NoKeysError(LocalError):
    """A state folder has no keys yet."""


class PublishedError(LocalError):
    """A stack in containers cannot have such a name or such ports."""


@app.command("list")
def list_keys(state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """Show every user with its public key.

    Example: ropewalk keys list
    """
    place = layout(state_dir)
    rows = [{"user": user, "public_key": _public(place, user), "purpose": rights_of(user).purpose} for user in USERS]
    if as_json:
        print_json({"users": rows, "seeds": str(place.keys)})
        return
    console.print(Listing(("user", "public key", "purpose"), [tuple(row.values()) for row in rows]))
    say(f"seeds: {place.keys}")


@app.command()
def show(user: User, state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """Show what a user may publish and subscribe to. Everything else is refused.

    Example: ropewalk keys show trainer
    """
    rights = rights_of(_known(user))
    place = layout(state_dir)
    key = _public(place, user)
    if as_json:
        print_json(
            {
                "user": user,
                "purpose": rights.purpose,
                "public_key": key,
                "publish": rights.publish,
                "subscribe": rights.subscribe,
                "answers_requests": rights.responds,
            }
        )
        return
    console.print(f"{user}: {rights.purpose}\npublic key {key}")
    console.print("may publish on", *(f"  {subject}" for subject in rights.publish), sep="\n")
    console.print("may subscribe to", *(f"  {subject}" for subject in rights.subscribe), sep="\n")
    if rights.responds:
        console.print("may answer whoever asks it, once per question")


@app.command()
def rotate(user: User, state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """Give a user a new key; the old one no longer opens anything. Other users notice nothing.

    Example: ropewalk keys rotate trainer
    """
    place = layout(state_dir)
    _public(place, _known(user))
    rotated = rotate_key(place, user)
    if as_json:
        print_json(vars(rotated))
        return
    done(f"{user} has a new key: {rotated.public_key}")
    if not rotated.live:
        console.print("the stack is down: the next `ropewalk up` uses it")
    if rotated.restarted:
        console.print(f"{user} was started again with it; a stage it worked on goes on where it was")
    if user == OPERATOR:
        console.print("the operator's password is new, too: `ropewalk status --json` has the address with it")


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="Where the seed goes; the file must not exist.")],
    user: Annotated[str, typer.Option(help="Whose key.")] = OPERATOR,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Copy the seed of a user to a file with mode 0600, and say how a client uses it.

    Example: ropewalk keys export ./operator.seed
    """
    place = layout(state_dir)
    _public(place, _known(user))
    export_key(place.keys, user, file)
    state = read_state(place.stack_file)
    settings = {"ROPEWALK_NATS_USER": user, "ROPEWALK_NATS_NKEY_FILE": str(file.absolute())}
    if state is not None:
        settings = {"ROPEWALK_NATS_URL": state.endpoints.nats, **settings}
    if as_json:
        print_json({"user": user, "file": str(file.absolute()), "environment": settings})
        return
    done(f"whoever can read {file} is {user} on the bus")
    for name, value in settings.items():
        say(f"export {name}={value}")


@app.command()
def person(
    file: Annotated[Path, typer.Argument(help="Where your seed goes; the file must not exist.")],
    as_json: AsJson = False,
) -> None:
    """Make a key for a person who approves promotions; it opens nothing on the bus.

    Example: ropewalk keys person ./alice.seed
    """
    public = create_key(file)
    if as_json:
        print_json({"file": str(file.absolute()), "public_key": public})
        return
    done(f"your public key is {public}; whoever can read {file} can sign for you")


@app.command()
def create(
    folder: Annotated[Path, typer.Argument(help="For keys and certificates; `.env` is beside it.")] = Path("keys"),
    host: Annotated[
        list[str] | None, typer.Option(help="One more name under which clients find the bus; repeatable.")
    ] = None,
    ports_from: Annotated[
        int, typer.Option(help="The first of ten ports to publish, for a second stack; 0: the usual ones.")
    ] = 0,
    project: Annotated[str, typer.Option(help="The name of the stack, for compose.")] = USUAL_PROJECT,
    as_json: AsJson = False,
) -> None:
    """Make every secret of a stack in containers: keys, certificate, passwords. What is there already stays.

    Needs the program openssl.

    Example: ropewalk keys create
    """
    if not _PROJECT.fullmatch(project):
        raise PublishedError(f"--project is {quoted(project)}: use small letters, digits, - and _, a letter first")
    if not 0 <= ports_from <= _LAST_PORTS_FROM:
        raise PublishedError(f"--ports-from is {ports_from}: give a port from 1 to {_LAST_PORTS_FROM}, or 0")
    made = create_deployment(folder, (*_HOSTS, *(host or ())))
    environment, client = folder.parent / ".env", folder / "client.env"
    wanted = Published(keys=folder, project=project, ports_from=ports_from)
    told = ensure_environment(environment, wanted)
    write_client_environment(client, told, made)
    if others := passed_over(told, wanted):
        lines = one_line(", ".join(f"{name}={value}" for name, value in others.items()))
        complain(
            f"{environment} stays as it is and says otherwise than you ask: {lines}; change it there", style="yellow"
        )
    if as_json:
        print_json({name: str(path) for name, path in (*vars(made).items(), ("env", environment), ("client", client))})
        return
    done(f"{environment}: passwords, keys and ports, which compose reads")
    done(f"{made.server}: for the bus (users, rights, certificate)")
    done(f"{made.seeds}: one seed per user of the bus, for that user only")
    done(f"{client}: for you; `. {client}` and ropewalk, nats and the OpenAI client talk to the stack")


def _known(user: str) -> str:
    if user not in USERS:
        raise UnknownUserError(f"there is no user {user!r} on the bus: choose one of {', '.join(USERS)}")
    return user


def _public(place: Layout, user: str) -> str:
    seed = seed_file(place.keys, user)
    if not seed.exists():
        raise NoKeysError(f"{place.keys} has no key of {user} yet: `ropewalk up` makes it")
    return public_key(seed)
