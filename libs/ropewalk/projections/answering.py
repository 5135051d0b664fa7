"""The live projector's answers. Pure: a projector and a question in, bytes out. `asking` has the other side."""

import heapq
from typing import Any

import orjson

from ropewalk.projections.projector import FOLDS, Projector
from ropewalk.projections.runs import STATUSES

MAX_PIECE = 512 * 1024  # a message may have 1 MB
MAX_RUNS = 1000
_KEPT = 4


class QuestionError(ValueError):
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
                return orjson.dumps(run_list(self.projector, **_run_list_details(details)))
            if question in FOLDS:
                return self._piece(question, int(details.get("sequence", 0)), int(details.get("offset", 0)))
        except (QuestionError, orjson.JSONDecodeError, TypeError, ValueError) as error:
            return orjson.dumps({"error": str(error)})
        return orjson.dumps({"error": f"there is no projection {question!r}: ask for one of {', '.join(FOLDS)}"})

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


def run_list(projector: Projector, limit: int, status: str = "") -> dict[str, Any]:
    """The newest runs, oldest of them first, as many as fit into a message, and how many there are."""
    starts = projector.first_sequences()
    if status:
        matching = [run_id for run_id in starts if projector.view("runs", run_id)["status"] == status]
    else:
        matching = list(starts)
    found: list[dict[str, Any]] = []
    left = MAX_PIECE
    for run_id in heapq.nlargest(limit, matching, key=lambda run_id: starts[run_id]):
        left -= len(projector.item("runs", run_id)) + len(run_id) + 20
        if left < 0:
            break
        found.insert(0, {"run_id": run_id, **projector.view("runs", run_id)})
    return {
        "sequence": projector.sequence,
        "time": projector.time,
        "total": len(starts),
        "matching": len(matching),
        "runs": found,
    }


def _run_list_details(details: dict[str, Any]) -> dict[str, Any]:
    limit, status = int(details.get("limit", MAX_RUNS)), str(details.get("status", ""))
    if status and status not in STATUSES:
        raise QuestionError(f"status {status!r} is not known: choose one of {', '.join(STATUSES)}")
    return {"limit": max(1, min(limit, MAX_RUNS)), "status": status}
