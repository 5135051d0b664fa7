"""`status`: how a stack is. Asked often, so it imports no asynchronous client."""

import typer

from ropewalk.cli.exit_codes import USAGE
from ropewalk.cli.options import AsJson, StateDir, layout
from ropewalk.cli.screens.deployment import show_deployment
from ropewalk.cli.screens.status import show_status
from ropewalk.cli.settings import compose_project, named_bus
from ropewalk.local.containers import Containers, with_containers
from ropewalk.local.names import SERVICES
from ropewalk.local.stack import measure
from ropewalk.status.asking import status_of

app = typer.Typer()


@app.command()
def status(state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """Show endpoints and processes of the running stack, and what is wrong with it.

    Where ROPEWALK_NATS_URL names a bus, and no state folder is given: the services on that bus, their queues, and what
    is wrong; with ROPEWALK_COMPOSE_PROJECT also what is wrong with its containers and the disks of its volumes.

    Example: ropewalk status --json
    """
    bus = named_bus() if state_dir is None else None
    if bus is None:
        show_status(measure(layout(state_dir)), as_json=as_json)
    else:
        found = status_of(bus, SERVICES)
        if project := compose_project():
            found = with_containers(found, Containers(project))
        show_deployment(found, bus.url, as_json=as_json)
        if any(problem.kind == "broker_away" for problem in found.problems):
            raise typer.Exit(USAGE)  # as every command that needs the bus
