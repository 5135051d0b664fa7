"""The live projector's answers. Pure: a projector and a question in, bytes out. `asking` has the other side."""

import heapq
from typing import Any

import orjson

from ropewalk.errors import RopewalkError
from ropewalk.events.foreign import one_line, quoted
from ropewalk.projections.alarm_list import MOST_ALARMS, alarm_list
from ropewalk.projections.projector import FOLDS, Projector
from ropewalk.projections.runs import STATUSES

MAX_PIECE = 512 * 1024  # a message may have 1 MB
MAX_RUNS = 1000
_KEPT = 4


class QuestionError(RopewalkError, ValueError):
    """The question cannot be answered; the text says why and what to do."""


class Answers:
    """Answers about one projector. What was asked for piece by piece is kept as of its sequence."""

    def __init__(self, projector: Projector) -> None:
        self.projector = projector
        self._renderings: dict[tuple[str, int], tuple[dict[str, Any], bytes]] = {}

    def answer(self, question: str, body: bytes) -> bytes:
        """The answer to a message on `ctl.projection.v1.<question>`; what is wrong with it is an answer, too."""
        try:
            details = orjson.loads(body or b"{}")
            if not isinstance(details, dict):
                raise QuestionError("the question must be a JSON object")
            if question == "hashes":
                return orjson.dumps(self._hashes())
            if question == "run_list":
                found = run_list(self.projector, **_run_list_details(details), most_bytes=MAX_PIECE)
                return orjson.dumps(found)
            if question == "alarm_list":
                limit, every = int(details.get("limit", MOST_ALARMS)), bool(details.get("every", False))
                limit = max(1, min(limit, MOST_ALARMS))
                return orjson.dumps(alarm_list(self.projector, limit, every=every, most_bytes=MAX_PIECE))
            if question in FOLDS:
                return self._piece(question, int(details.get("sequence", 0)), int(details.get("offset", 0)))
        except (QuestionError, orjson.JSONDecodeError, TypeError, ValueError) as error:
            return orjson.dumps({"error": one_line(str(error), 1000)})
        return orjson.dumps({"error": f"there is no projection {quoted(question)}: ask for one of {', '.join(FOLDS)}"})

    def _hashes(self) -> dict[str, Any]:
        projector = self.projector
        return {
            "sequence": projector.sequence,
            "time": projector.time,
            "hashes": {name: projector.digest(name) for name in projector.names},
        }

    def _piece(self, name: str, sequence: int, offset: int) -> bytes:
        if not sequence:
            sequence = self.projector.sequence
            self._render(name)
        kept = self._renderings.get((name, sequence))
        if kept is None:
            raise QuestionError(f"projection {name} as of {sequence} is not kept any more; begin again")
        head, body = kept
        return orjson.dumps(head) + b"\n" + body[offset : offset + MAX_PIECE]

    def _render(self, name: str) -> None:
        projector = self.projector
        body = projector.render(name)
        head = {
            "sequence": projector.sequence,
            "time": projector.time,
            "sha256": projector.digest(name),
            "size": len(body),
        }
        self._renderings.pop((name, projector.sequence), None)
        self._renderings[name, projector.sequence] = (head, body)
        while len(self._renderings) > _KEPT:
            del self._renderings[next(iter(self._renderings))]


def run_list(
    projector: Projector, limit: int, status: str = "", before: int = 0, most_bytes: int | None = None
) -> dict[str, Any]:
    """The newest runs, oldest of them first, at most `limit` and `most_bytes`, and how many there are.

    `before` is the sequence of a run: only older ones are listed. In the answer it says where the next page begins,
    0 if there is none.
    """
    starts = projector.first_sequences()
    if status:
        matching = [run_id for run_id in starts if projector.view("runs", run_id)["status"] == status]
    else:
        matching = list(starts)
    older = [run_id for run_id in matching if not before or starts[run_id] < before]
    found: list[dict[str, Any]] = []
    num_bytes = 0
    for run_id in heapq.nlargest(limit, older, key=lambda run_id: starts[run_id]):
        num_bytes += len(projector.item("runs", run_id)) + len(run_id) + 20
        if found and most_bytes is not None and num_bytes > most_bytes:
            break
        found.append({"run_id": run_id, **projector.view("runs", run_id)})
    found.reverse()
    return {
        "sequence": projector.sequence,
        "time": projector.time,
        "total": len(starts),
        "matching": len(matching),
        "runs": found,
        "before": found[0]["sequence"] if len(found) < len(older) else 0,
    }


def _run_list_details(details: dict[str, Any]) -> dict[str, Any]:
    limit, status = int(details.get("limit", MAX_RUNS)), str(details.get("status", ""))
    if status and status not in STATUSES:
        raise QuestionError(f"status {quoted(status)} is not known: choose one of {', '.join(STATUSES)}")
    return {"limit": max(1, min(limit, MAX_RUNS)), "status": status, "before": max(0, int(details.get("before", 0)))}
