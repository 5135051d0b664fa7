"""`eval judges add|audit|list|show`: who grades answers beside people, and how far it is to be believed."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ropewalk.cli.connecting import call, settings_of, store_of
from ropewalk.cli.options import AsJson, StateDir
from ropewalk.cli.screens.judge_card import print_card
from ropewalk.cli.screens.terminal import Listing, complain, console, done, minute, print_json, say
from ropewalk.client.judges.asking import add_judge, audit_judge, known_judge
from ropewalk.client.log import open_log, projections
from ropewalk.client.settings import ClientSettings
from ropewalk.events.judge import JudgeSuspended
from ropewalk.projections.judges import standing_word
from ropewalk.tasksets.judges.shelf import read_judge

app = typer.Typer(name="judges", no_args_is_help=True, help="Judges: who grades answers beside people.")

Labels = Annotated[Path, typer.Option(metavar="F", help="Answers that people graded, as JSON lines.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="A judge, as `ropewalk eval judges list` has it.")]


@app.command()
def add(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A YAML file that says who judges, and by which rubric.")
    ],
    labels: Labels,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Ask a judge about labelled answers, try how it can be fooled, and register it with a card.

    An endpoint is sent all these answers. Exit code 1 if the card says reject.

    Example: ropewalk eval judges add judge.yaml --labels labelled.jsonl
    """
    found = read_judge(file.expanduser(), labels.expanduser())
    settings, objects = settings_of(state_dir), store_of(state_dir)
    if found.definition.endpoint is not None:
        complain(f"… {len(found.answers):,} answers are sent to {found.definition.endpoint.host}", style="dim")
    fact = call(lambda client: add_judge(client, objects, found, _tell), settings)
    name = found.definition.id
    if as_json:
        print_json(fact.model_dump(mode="json"))
    else:
        verdict = fact.card.verdict
        done(f"{name} is registered until {minute(fact.card.valid_until)} UTC: {verdict}", good=verdict != "reject")
        say(f"  its card: `ropewalk eval judges show {name}`")
    raise typer.Exit(1 if fact.card.verdict == "reject" else 0)


@app.command()
def audit(name: Name, labels: Labels, state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """Compare later labels with what a judge says now; exit code 1 if it grades otherwise and is suspended.

    Example: ropewalk eval judges audit small --labels more.jsonl
    """
    settings, objects = settings_of(state_dir), store_of(state_dir)
    known = _known(settings)
    fact = call(lambda client: audit_judge(client, known, objects, name, labels.expanduser(), _tell), settings)
    now = fact if isinstance(fact, JudgeSuspended) else None
    facts = known_judge(_known(settings), name)
    suspended = now.reason if now else facts["suspended"].get("reason", "")
    if as_json:
        print_json(facts)
    elif suspended:
        done(f"{name} is suspended: {suspended}", good=False)
    else:
        states = ", ".join(f"{each['criterion']} {each['drift']:+.2f}" for each in facts["states"])
        done(
            f"{name} grades as it did ({facts['audits']['num_labels']} labels since; drift in grades: {states or '–'})"
        )
    raise typer.Exit(1 if suspended else 0)


@app.command("list")
def list_judges(state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """List all judges with what they may do.

    Example: ropewalk eval judges list
    """
    known = {name: facts for name, facts in _known(settings_of(state_dir)).items() if facts}
    if as_json:
        print_json(known)
    elif known:
        rows = [
            (
                name,
                facts["card"]["rubric"],
                standing_word(facts),
                minute(facts["card"]["valid_until"]),
                facts["card"]["model"],
            )
            for name, facts in sorted(known.items())
        ]
        console.print(Listing(("judge", "rubric", "verdict", "until (UTC)", "who"), rows))
    else:
        say("no judge is registered yet: `ropewalk eval judges add FILE --labels F`")


@app.command()
def show(name: Name, state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """Show the card of a judge: how it agrees with people, what fools it, what it saves, until when it holds.

    Example: ropewalk eval judges show small
    """
    facts = known_judge(_known(settings_of(state_dir)), name)
    if as_json:
        print_json(facts)
    else:
        print_card(name, facts)


def _known(settings: ClientSettings) -> dict[str, Any]:
    with open_log(settings) as wire:
        return projections(wire, "judges")["judges"]


def _tell(num_answers: int, num_asked: int) -> None:
    complain(f"… {num_answers:,} of {num_asked:,} answers", style="dim")
