"""`export-metrics`: the metrics of a training for another tool."""

from contextlib import ExitStack, closing
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ropewalk.cli.connecting import call, settings_of
from ropewalk.cli.options import AsJson, RunId, StateDir
from ropewalk.cli.screens.terminal import print_json, say
from ropewalk.client import Client
from ropewalk.client.errors import ClientError
from ropewalk.report.exports.rows import steps_of
from ropewalk.report.exports.writers import open_writer

app = typer.Typer()


class Tool(StrEnum):
    """What the files are for."""

    tensorboard = "tensorboard"
    wandb = "wandb"
    mlflow = "mlflow"


@app.command("export-metrics")
def export_metrics(
    run: RunId,
    to: Annotated[Tool, typer.Option("--to", help="Whose files to write.")],
    into: Annotated[Path, typer.Option("--into", metavar="DIR", help="Where they go.")] = Path("metrics"),
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Write the metrics of a run's training as files of TensorBoard, Weights & Biases (offline) or MLflow.

    Example: ropewalk export-metrics python-stdlib-261123-101500-1a2b --to tensorboard --into runs
    """

    async def write(client: Client) -> int:
        await client.timeline(run)  # says that there is no such run, before a folder is made for it
        count = 0
        with ExitStack() as stack:
            async for page in steps_of(client, run):
                if not count:
                    writer = stack.enter_context(closing(open_writer(to.value, run, into)))
                writer.add(page)
                count += len(page)
        if not count:
            raise ClientError(f"the analytics database has no step of {run}: it has not trained, or not here")
        return count

    count = call(write, settings_of(state_dir))
    if as_json:
        print_json({"run_id": run, "to": to.value, "into": str(into), "num_steps": count})
    else:
        say(f"{count:,} steps for {to.value} in {into}")
