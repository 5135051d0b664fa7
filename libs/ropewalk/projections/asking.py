"""Asking the live projector, which answers on `ctl.projection.v1.<question>` of core NATS. Standard library only.

Questions are JSON. `hashes` and `run_list` are answered in JSON; a projection's own name is answered with a piece of
its canonical bytes, behind one line of JSON that says where the piece belongs, so that any size fits into messages.
"""

import hashlib
import json
from typing import Any, Literal, NamedTuple, get_args

from ropewalk.bus.wire import Wire, WireError

SUBJECT = "ctl.projection.v1"
RunStatus = Literal[
    "submitted",
    "queued",
    "running",
    "paused",
    "deferred",
    "promoted",
    "rejected",
    "need_more",
    "judged",
    "refused",
    "failed",
    "cancelled",
]
STATUSES: tuple[str, ...] = get_args(RunStatus)
MAX_RUNS = 1000  # in one answer
_PATIENCE_S = 5.0  # an answer takes milliseconds, a large projection a second


class ProjectorError(WireError):
    """The projector answered that it cannot; its sentence is the text."""


class RenderedProjection(NamedTuple):
    """A projection as of a sequence of the log, in canonical bytes."""

    name: str
    sequence: int
    time: str
    sha256: str
    body: bytes

    def items(self) -> dict[str, Any]:
        """Its content by key."""
        found: dict[str, Any] = json.loads(self.body)
        return found


def ask(wire: Wire, question: str, *, patience_s: float = 0.0, **details: object) -> dict[str, Any]:
    """A small question. Raises NoResponderError, ProjectorError, WireError."""
    return _head(wire, question, details, patience_s)[0]


def ask_runs(wire: Wire, limit: int, status: str = "", *, patience_s: float = 0.0) -> dict[str, Any]:
    """The newest runs, oldest of them first, page by page, and how many there are. Raises as `ask`."""
    found = ask(wire, "run_list", patience_s=patience_s, limit=limit, status=status)
    page = found
    while page.get("before") and len(found["runs"]) < limit:
        left = limit - len(found["runs"])
        page = ask(wire, "run_list", patience_s=patience_s, limit=left, status=status, before=page["before"])
        found = found | {"runs": page["runs"] + found["runs"], "before": page.get("before", 0)}
    return found


def fetch(wire: Wire, name: str) -> RenderedProjection:
    """A whole projection as it stands now. Raises NoResponderError, ProjectorError, WireError."""
    head, body = _head(wire, name, {})
    while len(body) < head["size"]:
        _, piece = _head(wire, name, {"sequence": head["sequence"], "offset": len(body)})
        body += piece
    if hashlib.sha256(body).hexdigest() != head["sha256"]:
        raise ProjectorError(f"the pieces of projection {name} do not fit together; ask again")
    return RenderedProjection(name, head["sequence"], head["time"], head["sha256"], body)


def _head(
    wire: Wire, question: str, details: dict[str, object], patience_s: float = 0.0
) -> tuple[dict[str, Any], bytes]:
    answer = wire.request(f"{SUBJECT}.{question}", json.dumps(details).encode(), patience_s or _PATIENCE_S).body
    first, _, rest = answer.partition(b"\n")
    head: dict[str, Any] = json.loads(first)
    if "error" in head:
        raise ProjectorError(head["error"])
    return head, rest
