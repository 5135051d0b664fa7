"""`drill`: faults on purpose, against the running stack, with a scorecard each."""

import asyncio
import logging
import signal
from collections.abc import Callable
from inspect import Parameter, Signature
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from ropewalk.cli.keepers import keeper_of
from ropewalk.cli.options import AsJson, StateDir, layout
from ropewalk.cli.screens.terminal import console, mark, print_json, say
from ropewalk.drills.acting import run_drill
from ropewalk.drills.catalogue import DRILLS
from ropewalk.drills.contained import Contained
from ropewalk.drills.crew import Crew, OnThisMachine
from ropewalk.drills.errors import NotPreparedError
from ropewalk.drills.files import DrillResult, card_json, last_cards
from ropewalk.drills.scene import DrillOptions
from ropewalk.drills.scorecard import seconds
from ropewalk.events.foreign import one_line
from ropewalk.local.containers import Containers
from ropewalk.local.layout import Layout

app = typer.Typer(
    name="drill", help="Cause a fault in the running stack and see how it is taken.", no_args_is_help=True
)

Seed = Annotated[int, typer.Option(help="What is drawn by lot follows from this number.")]
Minutes = Annotated[float, typer.Option(min=0.05, help="How long to wait, at most, for each thing that should happen.")]

_FORCE = "delete pod --force --grace-period 0 --selector app.kubernetes.io/name=trainer"

# Options that only some drills have, by the field of DrillOptions that each sets.
_OPTIONS: dict[str, Any] = {
    "service": Annotated[
        str, typer.Option(help="Which service (default: the one that holds a stage).", show_default=False)
    ],
    "run_id": Annotated[
        str, typer.Option("--run", help="Which run (default: the newest that fits).", show_default=False)
    ],
    "seed": Seed,
    "hold_s": Annotated[
        float, typer.Option("--hold", min=0.0, help="Seconds that the fault lasts; 0: as long as it needs.")
    ],
}
# name -> its options, what it does, an example of its options
_COMMANDS = {
    "kill-service": (
        ("service", "run_id", "seed"),
        "Kill a service with SIGKILL, while it holds a stage if one is under way.",
        "--service trainer",
    ),
    "kill-worker": (
        ("run_id",),
        "Kill one training worker of a run with SIGKILL, once the run has a checkpoint.",
        "--run tern-0412",
    ),
    "kill-broker": ((), "Kill nats-server with SIGKILL while messages are being published.", ""),
    "pause-service": (
        ("service", "run_id", "hold_s"),
        "Stop a service with SIGSTOP for longer than its lease lives, then wake it up.",
        "--service ingest",
    ),
    "cut-network": (
        ("service", "run_id", "hold_s"),
        "Swallow every byte between an instance of a service and the broker for a while.",
        "--service preprocessing",
    ),
    "fill-disk": (
        ("hold_s",),
        "Fill the broker's disk for a while; only on a small file system that was made for it.",
        "--hold 20",
    ),
    "duplicate-everything": (
        ("run_id", "seed"),
        "Publish every request and fact of a finished run again, in another order.",
        "--run tern-0412",
    ),
    "poison": (
        ("seed",),
        "Publish unreadable messages among healthy ones. The healthy ones stay in `ropewalk runs` as refused.",
        "--seed 3",
    ),
}


def _add(name: str, takes: tuple[str, ...], what: str, example: str) -> None:
    """A command that plays one drill. Typer reads its options off the signature, which is made from the table."""

    def play(*, minutes: Minutes = 3.0, state_dir: StateDir = None, as_json: AsJson = False, **chosen: Any) -> None:
        result = _result(name, layout(state_dir), DrillOptions(patience_s=60 * minutes, **chosen), quiet=as_json)
        if as_json:
            print_json(_as_json(result))
        else:
            _print_card(result)
        raise typer.Exit(0 if result.card.passed else 1)

    *shared, _ = Signature.from_callable(play).parameters.values()
    own = [
        Parameter(option, Parameter.KEYWORD_ONLY, annotation=_OPTIONS[option], default=getattr(DrillOptions, option))
        for option in takes
    ]
    play.__signature__ = Signature([*own, *shared])  # type: ignore[attr-defined]
    app.command(name, help=f"{what}\n\nExample: ropewalk drill {name} {example}".rstrip())(play)


for _name, _told in _COMMANDS.items():
    _add(_name, *_told)


@app.command("all")
def play_all(seed: Seed = 0, minutes: Minutes = 3.0, state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """Play every drill whose preconditions are met; say which were left out and why.

    Example: ropewalk drill all
    """
    place = layout(state_dir)
    _crew(place).keeper.states()  # raises if nothing runs
    results: list[DrillResult] = []
    left_out: dict[str, str] = {}
    for each in DRILLS:
        options = DrillOptions(seed=seed, patience_s=60 * minutes)
        try:
            results.append(_result(each.name, place, options, quiet=as_json))
        except NotPreparedError as error:
            left_out[each.name] = str(error)
            if not as_json:
                say(f"- {each.name} left out: {error}", style="yellow")
            continue
        if not as_json:
            _print_card(results[-1])
    if as_json:
        print_json({"drills": [_as_json(result) for result in results], "left_out": left_out})
    raise typer.Exit(0 if all(result.card.passed for result in results) else 1)


@app.command("list")
def list_drills(state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """List the drills with the verdict of the last time that each was played.

    Example: ropewalk drill list
    """
    last = last_cards(layout(state_dir))
    if as_json:
        print_json([{"drill": each.name, "summary": each.summary, "last": last.get(each.name)} for each in DRILLS])
        return
    for each in DRILLS:
        card = last.get(each.name)
        told = "never played" if card is None else f"{'passed' if card['passed'] else 'failed'} {card['began_at'][:16]}"
        line = Text.assemble((f"{each.name:<22}", "bold"), each.summary, "  ", (one_line(told), "dim"))
        console.print(line, soft_wrap=True)


def _result(name: str, place: Layout, options: DrillOptions, *, quiet: bool) -> DrillResult:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whoever stops us, the fault is undone
    logging.getLogger("ropewalk.bus").setLevel(logging.ERROR)  # a broker that is away is what we came for
    tell: Callable[[str], None] = (lambda _: None) if quiet else say
    return asyncio.run(run_drill(name, place, options, tell, _crew(place)))


def _crew(place: Layout) -> Crew:
    """Who can be hit. Raises OutOfReachError."""
    keeper = keeper_of(_named(place), _FORCE)
    return Contained(keeper) if isinstance(keeper, Containers) else OnThisMachine(place)


def _named(place: Layout) -> Path | None:
    """The folder that the command was given, if it was given one."""
    return None if place == layout(None) else place.state_dir


def _as_json(result: DrillResult) -> dict[str, Any]:
    return {**card_json(result.card), "html": str(result.html), "json": str(result.json)}


def _print_card(result: DrillResult) -> None:
    card = result.card
    console.print(mark(card.passed), Text(card.drill, "bold"), "passed" if card.passed else "failed")
    say(f"  {card.reason}")
    say(
        f"  detect {seconds(card.detect_s)} · recover {seconds(card.recover_s)} · lost {card.lost} {card.lost_unit}"
        f" · doubled {card.doubled}"
    )
    for each in card.checks:
        say(f"  {'✓' if each.passed else '✗'} {each.name}: {each.detail}")
    say(f"  {result.html}")
