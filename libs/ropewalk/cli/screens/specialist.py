"""How the demo of the specialist came out, on a terminal or as JSON."""

import dataclasses
from typing import Any

from ropewalk.cli.screens.terminal import console, print_json, say
from ropewalk.demo.specialist.flow import SpecialistResult
from ropewalk.report.costs import ways_of
from ropewalk.report.terminal import terminal_card
from ropewalk.usecases.tariff import load_tariff


def show_specialist(result: SpecialistResult, *, kept: bool, as_json: bool) -> None:
    """The card, the files, and what went wrong."""
    if as_json:
        print_json(_facts(result))
        return
    console.print(terminal_card(result.card))
    console.print(f"\nreport card: {result.written.html} and {result.written.png}", soft_wrap=True)
    console.print(f"the task with its examples: {result.task}", soft_wrap=True)
    for problem in result.problems:
        say(f"✗ {problem}", style="red")
    state = "is up; `ropewalk down` stops it" if kept else "was stopped; `ropewalk up` brings it and the model back"
    console.print(f"\nThe stack {state}.", style="bold", soft_wrap=True)


def _facts(result: SpecialistResult) -> dict[str, Any]:
    card, ways = result.card, {}
    if card.specialist is not None:
        ways = ways_of(card.specialist.section, load_tariff(), card.usd or 0.0)
    return {
        "run_id": card.run_id,
        "outcome": card.outcome,
        "problems": list(result.problems),
        "report_html": str(result.written.html),
        "report_png": str(result.written.png),
        "task": str(result.task),
        "replies": [dataclasses.asdict(reply) for reply in result.replies],
        "training_usd": card.usd,
        "usd_per_1000": {
            name: {**dataclasses.asdict(switch), "break_even_requests": switch.break_even_requests}
            for name, (switch, _, _) in ways.items()
        },
    }
