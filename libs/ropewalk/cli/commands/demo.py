"""`demo`: the whole chain in one command."""

import signal
from pathlib import Path
from typing import Annotated

import typer

from ropewalk.cli.exit_codes import INTERRUPTED
from ropewalk.cli.keepers import refuse_elsewhere
from ropewalk.cli.options import AsJson, StateDir, layout
from ropewalk.cli.screens.live import PlainScreen, live_screen
from ropewalk.cli.screens.terminal import console, print_json, say
from ropewalk.demo.flow import DemoOptions, DemoResult, run_demo
from ropewalk.local.layout import Layout
from ropewalk.local.stack import is_up, take_down
from ropewalk.report.card import ReportCard
from ropewalk.report.terminal import terminal_card

app = typer.Typer()


@app.command()
def demo(
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
    refuse_elsewhere()
    place = layout(state_dir)
    options = DemoOptions(recipe=recipe, minutes=minutes, folder=Path.cwd())
    # Without this, SIGTERM would end the process without the `finally` below, and leave a stack behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whoever stops us, everything stops
    kept = is_up(place)  # a stack that ran before stays
    try:
        result = _run(place, options, as_json)
        kept = kept or keep
    except KeyboardInterrupt:
        kept = False
        console.print("\ninterrupted, stopping everything; `ropewalk up` continues the run", style="yellow")
        raise typer.Exit(INTERRUPTED) from None
    finally:
        if not kept:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not leave half a stack
            take_down(place)
    _print_result(result, keep=kept, as_json=as_json)
    raise typer.Exit(1 if result.problems else 0)


def _run(place: Layout, options: DemoOptions, as_json: bool) -> DemoResult:
    if as_json or not console.is_terminal:
        return run_demo(place, options, PlainScreen(quiet=as_json))
    with live_screen() as screen:
        return run_demo(place, options, screen)


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
