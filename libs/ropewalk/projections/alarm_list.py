"""The newest alarms, for those who ask the live projector: `ropewalk alarms` and `ropewalk status`."""

import heapq
from typing import Any

from ropewalk.projections.projector import Projector

MOST_ALARMS = 1_000


def alarm_list(
    projector: Projector, limit: int, *, every: bool = False, most_bytes: int | None = None
) -> dict[str, Any]:
    """The newest alarms that are not cleared (`every`: those too), newest first, at most `limit` and `most_bytes`."""
    views = {key: projector.view("alarms", key) for key in projector.keys("alarms")}
    known = {key: view for key, view in views.items() if view["sequence"]}
    matching = [key for key, view in known.items() if every or view["status"] != "cleared"]
    found: list[dict[str, Any]] = []
    num_bytes = 0
    for key in heapq.nlargest(limit, matching, key=lambda key: known[key]["sequence"]):
        num_bytes += len(projector.item("alarms", key)) + len(key) + 20
        if found and most_bytes is not None and num_bytes > most_bytes:
            break
        found.append({"alarm_id": key, **known[key]})
    return {
        "sequence": projector.sequence,
        "time": projector.time,
        "total": len(known),
        "matching": len(matching),
        "alarms": found,
    }
