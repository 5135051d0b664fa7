"""`alarms list|ack|rebaseline`: what the watch over the traffic has raised."""

from typing import Annotated, Any

import typer

from ropewalk.cli.commands.models import known_versions
from ropewalk.cli.connecting import call, settings_of
from ropewalk.cli.options import AsJson, StateDir
from ropewalk.cli.screens.terminal import Listing, console, done, minute, print_json, say
from ropewalk.cli.settings import user_name
from ropewalk.client import ClientSettings
from ropewalk.client.alarms import acknowledge, find_alarm
from ropewalk.client.alarms import rebaseline as ask_for_baseline
from ropewalk.client.errors import ClientError
from ropewalk.client.log import alarms_in, open_log
from ropewalk.client.models import ModelVersion, chosen

app = typer.Typer(name="alarms", help="Alarms of the watch over the traffic.", invoke_without_command=True)

_WHOLE = "baseline"  # the signal of alarms that say that there is no baseline: a new one is one of all signals

Note = Annotated[str, typer.Option("--note", help="What you found or do about it, for the log.")]
Reason = Annotated[str, typer.Option("--reason", help="Why, for the log.")]


@app.callback()
def group(context: typer.Context, state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """Without a further word, those that are not over."""
    if context.invoked_subcommand is None:
        list_alarms(state_dir=state_dir, as_json=as_json)


@app.command("list")
def list_alarms(
    every: Annotated[bool, typer.Option("--all", help="Those that are over, too.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="So many at most.")] = 50,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """List the alarms that are not over, newest first.

    Example: ropewalk alarms list --all
    """
    with open_log(settings_of(state_dir)) as wire:
        found = alarms_in(wire, limit, every=every)
    if as_json:
        print_json(found)
        return
    if found["alarms"]:
        console.print(Listing(("alarm", "state", "since (UTC)", "what"), [_row(alarm) for alarm in found["alarms"]]))
    _say_how_many(found, every=every)


@app.command()
def ack(
    alarm: Annotated[str, typer.Argument(metavar="ALARM", help="An alarm's id, as `ropewalk alarms list` shows it.")],
    note: Note = "",
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Say that you look after an alarm: `ropewalk status` names it no longer. It stays open until its signal returns.

    Example: ropewalk alarms ack pycode-1-latency-2 --note "the new disk is slow"
    """
    settings = settings_of(state_dir)
    with open_log(settings) as wire:
        found = find_alarm(wire, alarm)
    by = user_name()
    call(lambda client: acknowledge(client, found, by=by, note=_bounded("--note", note)), settings)
    if as_json:
        print_json({"alarm_id": alarm, "by": by, "note": note})
    else:
        done(f"the log has it: {by or 'somebody'} looks after {alarm}")


@app.command()
def rebaseline(
    what: Annotated[str, typer.Argument(metavar="WHAT", help="An alarm's id, or a model version such as `pycode@1`.")],
    signal: Annotated[str, typer.Option("--signal", help="Of this signal only.")] = "",
    reason: Reason = "",
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Take the next requests as what is normal, and clear the alarms about what was normal before.

    With an alarm's id: for the signal of that alarm. With a model version: for all its signals, or for one.

    Example: ropewalk alarms rebaseline pycode@1 --reason "prompts come from a new editor"
    """
    settings = settings_of(state_dir)
    version, chosen_signal = _meant(settings, what, signal)
    by = user_name()
    call(
        lambda client: ask_for_baseline(client, version, chosen_signal, by=by, reason=_bounded("--reason", reason)),
        settings,
    )
    if as_json:
        print_json({"model": version.model, "model_version": version.version, "signal": chosen_signal})
        return
    which = f"{chosen_signal} of {version.full_name}" if chosen_signal else f"all signals of {version.full_name}"
    done(f"the next requests become the baseline of {which}; until they have come it is not watched")


def _meant(settings: ClientSettings, what: str, signal: str) -> tuple[ModelVersion, str]:
    """The version and the signal that an alarm is about, or that the words name."""
    versions = known_versions(settings)
    # A version first: alarm ids never hold an `@`.
    exact = [each for each in versions if each.full_name == what]
    if exact:
        return exact[0], signal
    if "@" in what:
        chosen(versions, what)  # says which there are
    if signal:
        raise ClientError("--signal goes with a model version, such as `pycode@1`: an alarm is about one signal")
    with open_log(settings) as wire:
        alarm = find_alarm(wire, what)
    [version] = chosen(versions, f"{alarm['model']}@{alarm['model_version']}")
    return version, "" if alarm["signal"] == _WHOLE else str(alarm["signal"])


def _bounded(option: str, text: str) -> str:
    if len(text) > 500:
        raise ClientError(f"{option} has {len(text)} characters: at most 500 go into the log")
    return text


def _row(alarm: dict[str, Any]) -> tuple[str, ...]:
    words = alarm["detail"].removeprefix(f"{alarm['signal']}: ")
    by = f" ({alarm['acknowledged_by'] or 'somebody'}{': ' + alarm['note'] if alarm['note'] else ''})"
    over = f" (over {minute(alarm['cleared_at'])}: {alarm['cleared_because']})" if alarm["cleared_at"] else ""
    state = "looked after" if alarm["status"] == "acknowledged" else alarm["status"]
    return alarm["alarm_id"], state, minute(alarm["raised_at"]), words + (by if alarm["acknowledged_at"] else "") + over


def _say_how_many(found: dict[str, Any], *, every: bool) -> None:
    shown, matching, total = len(found["alarms"]), found["matching"], found["total"]
    num_over = total - matching
    over = f"; {num_over:,} {'is' if num_over == 1 else 'are'} over, --all shows them" if num_over and not every else ""
    if not matching:
        say(f"no alarm is open{over}")
    elif shown < matching:
        say(f"the newest {shown:,} of {matching:,}{over}")
    elif over:
        say(over.removeprefix("; "))
