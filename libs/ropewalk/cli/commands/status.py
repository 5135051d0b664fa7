"""`status`: how the stack is. Asked often, so it imports no asynchronous client."""

import typer

from ropewalk.cli.options import AsJson, StateDir, layout
from ropewalk.cli.screens.status import show_status
from ropewalk.local.stack import measure

app = typer.Typer()


@app.command()
def status(state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """Show endpoints and processes of the running stack, and what is wrong with it.

    Example: ropewalk status --json
    """
    show_status(measure(layout(state_dir)), as_json=as_json)
