"""How the demo of the specialist came out, on a terminal or as JSON."""

import dataclasses
import os
from typing import Any

from ropewalk.cli.screens.terminal import Listing, console, print_json, say
from ropewalk.demo.specialist.flow import SpecialistResult
from ropewalk.demo.specialist.money import bills, switches
from ropewalk.report.terminal import terminal_card
from ropewalk.usecases.tariff import load_tariff


def show_specialist(result: SpecialistResult, *, kept: bool, as_json: bool) -> None:
    """The card, what a thousand requests cost, the files, and what went wrong."""
    if as_json:
        print_json(_facts(result))
        return
    console.print(terminal_card(result.card))
    _print_prices(result)
    console.print(f"\nreport card: {result.written.html} and {result.written.png}", soft_wrap=True)
    console.print(f"the task with its examples: {result.task}", soft_wrap=True)
    for problem in result.problems:
        say(f"✗ {problem}", style="red")
    state = "is up; `ropewalk down` stops it" if kept else "was stopped; `ropewalk up` brings it and the model back"
    console.print(f"\nThe stack {state}.", style="bold", soft_wrap=True)


def _print_prices(result: SpecialistResult) -> None:
    tariff = load_tariff()
    found = bills(result.card, tariff, os.cpu_count() or 1)
    if not found:
        return
    names = list(tariff.by_token)
    head = ("USD per 1,000 requests", "prompt", "answer", "seconds", "here", *names)
    rows = []
    for each in found:
        counted = (f"{each.prompt_tokens:.0f}", f"{each.answer_tokens:.0f}", f"{each.seconds:.2f}")
        usd = (each.own, *(each.sold[name] for name in names))
        rows.append((each.way, *counted, *(f"{price:.4f}" for price in usd)))
    console.print(Listing(head, rows))
    for name, switch in switches(found, result.card.usd or 0.0).items():
        pays = switch.break_even_requests
        when = "never pays" if pays is None else f"pays after {pays:,.0f} requests"
        say(f"against {name}, paid by the token with worked examples: the bake (${switch.training:.4f}) {when}")
    say(f"prices are assumptions of {tariff.date}; `here` is {os.cpu_count()} cores, busy {tariff.busy_share:.0%}")


def _facts(result: SpecialistResult) -> dict[str, Any]:
    found = bills(result.card, load_tariff(), os.cpu_count() or 1)
    pays = {name: each.break_even_requests for name, each in switches(found, result.card.usd or 0.0).items()}
    return {
        "run_id": result.card.run_id,
        "outcome": result.card.outcome,
        "problems": list(result.problems),
        "report_html": str(result.written.html),
        "report_png": str(result.written.png),
        "task": str(result.task),
        "replies": [dataclasses.asdict(reply) for reply in result.replies],
        "training_usd": result.card.usd,
        "usd_per_1000": [dataclasses.asdict(each) for each in found],
        "break_even_requests": pays,
    }
