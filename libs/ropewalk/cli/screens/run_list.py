"""`ropewalk runs` as text. It imports nothing that takes time: see `quick`."""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import IO, Any

from ropewalk.events.foreign import one_line

DEFAULT_LIMIT = 20
_COLOURS = {"promoted": 32, "running": 36, "submitted": 36, "queued": 36, "failed": 31, "refused": 31}
_OTHER = 33
_DIM = 2
_MOST_DETAIL = 1000  # characters


def print_runs(answer: dict[str, Any], status: str, out: IO[str], *, as_json: bool) -> None:
    """The answer to `run_list`: a line per run, what is to be said about it below, and how many there are."""
    if as_json:
        out.write(json.dumps({"status": status or None, **answer}, indent=1) + "\n")
        return
    coloured = out.isatty()
    for line in _lines(answer, status, coloured=coloured):
        out.write(line + "\n")


def _lines(answer: dict[str, Any], status: str, *, coloured: bool) -> Iterator[str]:
    runs = answer["runs"]
    width = max((len(run["run_id"]) for run in runs), default=0)
    for run in runs:
        state = _painted(one_line(_state_words(run)), _COLOURS.get(run["status"], _OTHER), coloured=coloured)
        yield f"{run['run_id']:{width}}  {datetime.fromisoformat(run['started_at']):%m-%d %H:%M}  {state}"
        if run["detail"] and run["status"] != "promoted":
            yield "  " + _painted(one_line(run["detail"], _MOST_DETAIL), _DIM, coloured=coloured)
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


def _painted(text: str, code: int, *, coloured: bool) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if coloured else text
