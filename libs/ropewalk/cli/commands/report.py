"""`report`: the report card of any run, at any time."""

from pathlib import Path
from typing import Annotated

import typer

from ropewalk.cli.connecting import call, settings_of
from ropewalk.cli.options import AsJson, RunId, StateDir, layout
from ropewalk.cli.screens.terminal import console, print_json, say
from ropewalk.client import Client
from ropewalk.report.card import ReportCard
from ropewalk.report.collect import collect
from ropewalk.report.files import write_card
from ropewalk.report.gather import gather
from ropewalk.report.terminal import terminal_card

app = typer.Typer()


@app.command()
def report(
    run: RunId,
    into: Annotated[Path, typer.Option("--into", metavar="DIR", help="Where page and picture go.")] = Path(),
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Write the report card of a run: its course, its numbers, samples of what the model says, and its recipe.

    A run that is not over, or ended badly, has one too.

    Example: ropewalk report python-stdlib-261123-101500-1a2b
    """
    settings = settings_of(state_dir)
    objects = settings.store.connect()

    async def drawn(client: Client) -> ReportCard:
        return collect(await gather(client, run, objects))

    card = call(drawn, settings)
    into.mkdir(parents=True, exist_ok=True)
    written = write_card(card, layout(state_dir).reports / run, into, f"report-{run}")
    if as_json:
        told = {"run_id": run, "outcome": card.outcome, "html": str(written.html), "png": str(written.png)}
        print_json(told | ({"more_examples": card.learning.advice} if card.learning else {}))
        return
    console.print(terminal_card(card))
    say(f"report card: {written.html} and {written.png}")
