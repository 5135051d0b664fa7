"""What many commands share: their options, and the state folder they mean. It imports next to nothing."""

from pathlib import Path
from typing import Annotated

import typer

from ropewalk.cli.settings import default_state_dir
from ropewalk.local.layout import Layout, layout_of

StateDir = Annotated[
    Path | None,
    typer.Option("--state-dir", help="State folder of the stack (default: ~/.ropewalk).", show_default=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
RunId = Annotated[str, typer.Argument(metavar="RUN", help="A run id, as `ropewalk runs` lists them.")]


def layout(state_dir: Path | None) -> Layout:
    """The layout of the state folder that was asked for."""
    return layout_of(state_dir or default_state_dir())
