"""The typer application, the options that many commands share, and who asks the stack."""

from collections.abc import Awaitable, Callable
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from ropewalk.admin.access import OPERATOR
from ropewalk.bus.settings import NatsSettings
from ropewalk.client import Client, ClientSettings, find_settings
from ropewalk.client.blocking import call
from ropewalk.local.layout import Layout, layout_of
from ropewalk.local.settings import LocalSettings
from ropewalk.local.stack import running_state

app = typer.Typer(
    name="ropewalk",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Result = TypeVar("Result")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ropewalk {version('ropewalk')}")
        raise typer.Exit


@app.callback()
def root(
    show_version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """From raw text to a governed, watched language-model endpoint."""


StateDir = Annotated[
    Path | None,
    typer.Option("--state-dir", help="State folder of the stack (default: ~/.ropewalk).", show_default=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def layout(state_dir: Path | None) -> Layout:
    """The layout of the state folder that was asked for."""
    return layout_of(state_dir or LocalSettings().state_dir)


def settings_of(state_dir: Path | None, user: str = OPERATOR) -> ClientSettings:
    """Where the stack is, for one of its users. Raises StackNotRunningError for an embedded stack that is down."""
    place = layout(state_dir)
    if "url" not in NatsSettings().model_fields_set:  # no address given: it must be the embedded stack
        running_state(place)
    return find_settings(place.state_dir, user)


def with_client(action: Callable[[Client], Awaitable[Result]], state_dir: Path | None, user: str = OPERATOR) -> Result:
    """Run one asynchronous action against the stack as one of its users."""
    return call(action, settings_of(state_dir, user))
