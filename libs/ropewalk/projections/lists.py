"""The newest runs and alarms, for those who ask the live projector and for those who fold the log themselves."""

import heapq
from collections.abc import Mapping
from typing import Any

from ropewalk.projections.projector import Projector

MOST_ALARMS = 1_000


def alarm_list(
    projector: Projector, limit: int, *, every: bool = False, most_bytes: int | None = None
) -> dict[str, Any]:
    """The newest alarms that are not cleared (`every`: those too), newest first, at most `limit` and `most_bytes`."""
    views = {key: projector.view("alarms", key) for key in projector.keys("alarms")}
    known = {key: view for key, view in views.items() if view["sequence"]}
    matching = {key: view["sequence"] for key, view in known.items() if every or view["status"] != "cleared"}
    found = _newest(projector, "alarms", matching, limit, most_bytes)
    alarms = [{"alarm_id": key, **known[key]} for key in found]
    return {**projector.place, "total": len(known), "matching": len(matching), "alarms": alarms}


def run_list(
    projector: Projector, limit: int, status: str = "", before: int = 0, most_bytes: int | None = None
) -> dict[str, Any]:
    """The newest runs, oldest of them first, at most `limit` and `most_bytes`, and how many there are.

    `before` is the sequence of a run: only older ones are listed. In the answer it says where the next page begins,
    0 if there is none.
    """
    starts = projector.first_sequences()
    matching = [run_id for run_id in starts if not status or projector.view("runs", run_id)["status"] == status]
    older = {run_id: starts[run_id] for run_id in matching if not before or starts[run_id] < before}
    found = _newest(projector, "runs", older, limit, most_bytes)[::-1]
    return {
        **projector.place,
        "total": len(starts),
        "matching": len(matching),
        "runs": [{"run_id": run_id, **projector.view("runs", run_id)} for run_id in found],
        "before": starts[found[0]] if len(found) < len(older) else 0,
    }


def _newest(
    projector: Projector, name: str, sequences: Mapping[str, int], limit: int, most_bytes: int | None
) -> list[str]:
    """The keys of the newest items, newest first: as many as fit into `most_bytes`, and one at least."""
    found: list[str] = []
    num_bytes = 0
    for key in heapq.nlargest(limit, sequences, key=sequences.__getitem__):
        num_bytes += len(projector.item(name, key)) + len(key) + 20
        if found and most_bytes is not None and num_bytes > most_bytes:
            break
        found.append(key)
    return found
