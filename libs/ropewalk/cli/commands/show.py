"""`show`: what the log says about one run, event by event."""

from typing import Any

import typer

from ropewalk.bus.codec import Stored
from ropewalk.cli.connecting import call, settings_of
from ropewalk.cli.options import AsJson, RunId, StateDir
from ropewalk.cli.screens.terminal import print_json, say
from ropewalk.client.describe import describe
from ropewalk.client.outcomes import forecast_errors
from ropewalk.events.base import Message

app = typer.Typer()
_SHORT_ID = 8


@app.command()
def show(run: RunId, state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """Show the timeline of one run: what happened, and because of which earlier event.

    Example: ropewalk show python-stdlib-261123-101500-1a2b
    """
    timeline = call(lambda client: client.timeline(run), settings_of(state_dir))
    if as_json:
        print_json([event_json(stored) for stored in timeline])
        return
    # A cause may lie outside: a timer, a request of another run, or a message that the log has dropped since.
    known = {stored.envelope.id: stored for stored in timeline}
    # Sequences only grow, so the last is the widest.
    width = len(str(timeline[-1].sequence))
    for stored in timeline:
        line = f"{stored.sequence:{width}} {event_line(stored, since=timeline[0])}"
        say(f"{line} {_cause_words(stored, known)}".rstrip())
    if compared := forecast_errors([stored.message for stored in timeline]):
        say(compared)


def event_line(stored: Stored[Message], since: Stored[Message]) -> str:
    """What happened, and how many seconds after the first."""
    seconds = (stored.time - since.time).total_seconds()
    epoch = f" (lease epoch {stored.envelope.epoch})" if stored.envelope.epoch else ""
    return f"{seconds:8.1f} s  {_name(stored):28} {describe(stored.message)}{epoch}"


def _cause_words(stored: Stored[Message], known: dict[str, Stored[Message]]) -> str:
    cause_id = stored.envelope.cause_id
    if not cause_id:
        return ""
    cause = known.get(cause_id)
    return f"← {cause.sequence} {_name(cause)}" if cause else f"← {cause_id[:_SHORT_ID]}, outside this run"


def _name(stored: Stored[Message]) -> str:
    return stored.message.subject_prefix().partition(".")[2].removesuffix(".v1")


def event_json(stored: Stored[Message]) -> dict[str, Any]:
    """An event for programs: its place in the log, its envelope, its body."""
    return {
        "sequence": stored.sequence,
        "time": stored.time.isoformat(),
        "id": stored.envelope.id,
        "cause_id": stored.envelope.cause_id or None,
        "type": stored.message.type_name(),
        "source": stored.envelope.source,
        "epoch": stored.envelope.epoch,
        "data": stored.message.model_dump(mode="json"),
    }
