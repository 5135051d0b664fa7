"""`ropewalk runs` as text. Typer paints, since it is there already: rich would take longer to import than to ask."""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import typer

from ropewalk.events.foreign import one_line

_COLOURS = {"promoted": "green", "running": "cyan", "submitted": "cyan", "queued": "cyan", "failed": "red"}
_COLOURS |= {"refused": "red"}
_OTHER = "yellow"
_MOST_DETAIL = 1000  # characters


def print_runs(answer: dict[str, Any], status: str, *, as_json: bool) -> None:
    """The answer to `run_list`: a line per run, what is to be said about it below, and how many there are."""
    if as_json:
        typer.echo(json.dumps({"status": status or None, **answer}, indent=1))
        return
    for line in _lines(answer, status):
        typer.echo(line)  # which leaves the colours out where nobody sees them


def _lines(answer: dict[str, Any], status: str) -> Iterator[str]:
    runs = answer["runs"]
    # Whole ids, however long: they are copied from here into the next command.
    width = max((len(run["run_id"]) for run in runs), default=0)
    for run in runs:
        state = typer.style(one_line(_state_words(run)), fg=_COLOURS.get(run["status"], _OTHER))
        yield f"{run['run_id']:{width}}  {datetime.fromisoformat(run['started_at']):%m-%d %H:%M}  {state}"
        if run["detail"] and run["status"] != "promoted":
            yield "  " + typer.style(one_line(run["detail"], _MOST_DETAIL), dim=True)
    yield from _count(len(runs), answer["matching"], answer["total"], status)


def _count(shown: int, matching: int, total: int, status: str) -> Iterator[str]:
    if not total:
        yield "no runs yet: `ropewalk submit python-stdlib` starts one"
    elif not matching:
        yield f"none of {total:,} runs is {status}"
    elif shown < matching:
        which = f"{matching:,} {status} runs ({total:,} in all)" if status else f"{total:,} runs"
        yield f"the newest {shown:,} of {which}; --limit shows more"


def _state_words(run: dict[str, Any]) -> str:
    if run["model_version"]:
        return f"{run['status']}, {run['model']}@{run['model_version']}"
    return f"{run['status']}, {run['stage']}" if run["stage"] else str(run["status"])
