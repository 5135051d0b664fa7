"""`drill`: faults on purpose, against the running stack, with a scorecard each."""

import asyncio
import logging
import signal
from collections.abc import Callable
from typing import Annotated, Any

import typer
from rich.text import Text

from ropewalk.cli.options import AsJson, StateDir, layout
from ropewalk.cli.screens.terminal import console, mark, print_json, say
from ropewalk.drills.acting import DrillResult, run_drill
from ropewalk.drills.catalogue import DRILLS
from ropewalk.drills.errors import NotPreparedError
from ropewalk.drills.files import card_json, last_cards
from ropewalk.drills.scene import DrillOptions
from ropewalk.drills.scorecard import seconds
from ropewalk.events.foreign import one_line
from ropewalk.local.layout import Layout
from ropewalk.local.stack import running_state

app = typer.Typer(
    name="drill", help="Cause a fault in the running stack and see how it is taken.", no_args_is_help=True
)

Service = Annotated[str, typer.Option(help="Which service (default: the one that holds a stage).", show_default=False)]
Run = Annotated[str, typer.Option(help="Which run (default: the newest that fits).", show_default=False)]
Seed = Annotated[int, typer.Option(help="What is drawn by lot follows from this number.")]
Minutes = Annotated[float, typer.Option(min=0.05, help="How long to wait, at most, for each thing that should happen.")]
Hold = Annotated[float, typer.Option(min=0.0, help="Seconds that the fault lasts; 0: as long as it needs.")]


@app.command("kill-service")
def kill_service(
    service: Service = "",
    run: Run = "",
    seed: Seed = 0,
    minutes: Minutes = 3.0,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Kill a service with SIGKILL, while it holds a stage if one is under way.

    Example: ropewalk drill kill-service --service trainer
    """
    options = DrillOptions(service=service, run_id=run, seed=seed, patience_s=60 * minutes)
    _play("kill-service", layout(state_dir), options, as_json)


@app.command("kill-worker")
def kill_worker(run: Run = "", minutes: Minutes = 3.0, state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """Kill one training worker of a run with SIGKILL, once the run has a checkpoint.

    Example: ropewalk drill kill-worker --run tern-0412
    """
    _play("kill-worker", layout(state_dir), DrillOptions(run_id=run, patience_s=60 * minutes), as_json)


@app.command("kill-broker")
def kill_broker(minutes: Minutes = 3.0, state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """Kill nats-server with SIGKILL while messages are being published.

    Example: ropewalk drill kill-broker
    """
    _play("kill-broker", layout(state_dir), DrillOptions(patience_s=60 * minutes), as_json)


@app.command("pause-service")
def pause_service(
    service: Service = "",
    run: Run = "",
    hold: Hold = 0.0,
    minutes: Minutes = 3.0,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Stop a service with SIGSTOP for longer than its lease lives, then wake it up.

    Example: ropewalk drill pause-service --service ingest
    """
    options = DrillOptions(service=service, run_id=run, patience_s=60 * minutes, hold_s=hold)
    _play("pause-service", layout(state_dir), options, as_json)


@app.command("cut-network")
def cut_network(
    service: Service = "",
    run: Run = "",
    hold: Hold = 0.0,
    minutes: Minutes = 3.0,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Swallow every byte between an instance of a service and the broker for a while.

    Example: ropewalk drill cut-network --service preprocessing
    """
    options = DrillOptions(service=service, run_id=run, patience_s=60 * minutes, hold_s=hold)
    _play("cut-network", layout(state_dir), options, as_json)


@app.command("fill-disk")
def fill_disk(hold: Hold = 0.0, minutes: Minutes = 3.0, state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """Fill the broker's disk for a while; only on a small file system that was made for it.

    Example: ropewalk drill fill-disk --hold 20
    """
    _play("fill-disk", layout(state_dir), DrillOptions(patience_s=60 * minutes, hold_s=hold), as_json)


@app.command("duplicate-everything")
def duplicate_everything(
    run: Run = "", seed: Seed = 0, minutes: Minutes = 3.0, state_dir: StateDir = None, as_json: AsJson = False
) -> None:
    """Publish every request and fact of a finished run again, in another order.

    Example: ropewalk drill duplicate-everything --run tern-0412
    """
    options = DrillOptions(run_id=run, seed=seed, patience_s=60 * minutes)
    _play("duplicate-everything", layout(state_dir), options, as_json)


@app.command("poison")
def poison(seed: Seed = 0, minutes: Minutes = 3.0, state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """Publish unreadable messages among healthy ones. The healthy ones stay in `ropewalk runs` as refused.

    Example: ropewalk drill poison --seed 3
    """
    _play("poison", layout(state_dir), DrillOptions(seed=seed, patience_s=60 * minutes), as_json)


@app.command("all")
def play_all(seed: Seed = 0, minutes: Minutes = 3.0, state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """Play every drill whose preconditions are met; say which were left out and why.

    Example: ropewalk drill all
    """
    place = layout(state_dir)
    running_state(place)
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


def _play(name: str, place: Layout, options: DrillOptions, as_json: bool) -> None:
    """Exit code 1 if the drill failed."""
    result = _result(name, place, options, quiet=as_json)
    if as_json:
        print_json(_as_json(result))
    else:
        _print_card(result)
    raise typer.Exit(0 if result.card.passed else 1)


def _result(name: str, place: Layout, options: DrillOptions, *, quiet: bool) -> DrillResult:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whoever stops us, the fault is undone
    logging.getLogger("ropewalk.bus").setLevel(logging.ERROR)  # a broker that is away is what we came for
    tell: Callable[[str], None] = (lambda _: None) if quiet else say
    return asyncio.run(run_drill(name, place, options, tell))


def _as_json(result: DrillResult) -> dict[str, Any]:
    return {**card_json(result.card), "html": str(result.written.html), "json": str(result.written.json)}


def _print_card(result: DrillResult) -> None:
    card = result.card
    console.print(mark(card.passed), Text(card.drill, "bold"), "passed" if card.passed else "failed")
    say(f"  {card.reason}")
    console.print(
        f"  detect {seconds(card.detect_s)} · recover {seconds(card.recover_s)} · lost {card.lost} {card.lost_unit}"
        f" · doubled {card.doubled}",
        markup=False,
    )
    for each in card.checks:
        say(f"  {'✓' if each.passed else '✗'} {each.name}: {each.detail}")
    say(f"  {result.written.html}")
