"""`runs` and `show`: what the log says about runs."""

from typing import Annotated, Any

import typer

from ropewalk.bus.codec import Stored
from ropewalk.cli.app import AsJson, StateDir, app, settings_of, with_client
from ropewalk.cli.screens.run_list import DEFAULT_LIMIT, print_runs
from ropewalk.cli.screens.terminal import console, print_json, say
from ropewalk.client.describe import describe
from ropewalk.client.errors import ClientError
from ropewalk.client.log import list_runs, open_log
from ropewalk.events.base import Message
from ropewalk.projections.answering import MAX_RUNS
from ropewalk.projections.runs import STATUSES

RunId = Annotated[str, typer.Argument(metavar="RUN", help="A run id, as `ropewalk runs` lists them.")]
_SHORT_ID = 8


@app.command()
def runs(
    run_id: Annotated[list[str] | None, typer.Argument(metavar="[show RUN]", help="`show RUN`: one run.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=MAX_RUNS, help="Show at most so many, the newest.")] = DEFAULT_LIMIT,
    status: Annotated[str, typer.Option(help=f"Only runs that are {', '.join(STATUSES)}.")] = "",
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """List the newest runs with their state, and how many there are.

    Example: ropewalk runs --status running --json
    """
    words = run_id or []
    if words:
        if len(words) != 2 or words[0] != "show":
            raise typer.BadParameter(f"{' '.join(words)!r} is not understood: write `ropewalk runs show RUN`")
        show(words[1], state_dir, as_json)
        return
    if status and status not in STATUSES:
        raise ClientError(f"--status {status!r} is not known: choose one of {', '.join(STATUSES)}")
    with open_log(settings_of(state_dir)) as wire:
        found = list_runs(wire, limit, status)
    print_runs(found, status, console.file, as_json=as_json)


@app.command()
def show(run: RunId, state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """Show the timeline of one run: what happened, and because of which earlier event.

    Example: ropewalk show python-stdlib-261123-101500-1a2b
    """
    timeline = with_client(lambda client: client.timeline(run), state_dir)
    if as_json:
        print_json([event_json(stored) for stored in timeline])
        return
    print_timeline(timeline)


def print_timeline(timeline: list[Stored[Message]]) -> None:
    """A line per event: its sequence in the log, seconds since the first, what it says, and its cause."""
    known = {stored.envelope.id: stored for stored in timeline}
    width = len(str(timeline[-1].sequence))
    for stored in timeline:
        line = f"{stored.sequence:{width}} {event_line(stored, since=timeline[0])}"
        say(f"{line} {_cause_words(stored, known)}".rstrip())


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
