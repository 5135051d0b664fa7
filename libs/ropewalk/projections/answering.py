"""The live projector's answers. Pure: a projector and a question in, bytes out. `asking` has the other side."""

from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, Field

from ropewalk.errors import RopewalkError
from ropewalk.events.foreign import quoted
from ropewalk.projections.asking import MAX_RUNS, STATUSES
from ropewalk.projections.lists import alarm_list, run_list
from ropewalk.projections.projector import FOLDS, Projector

MAX_PIECE = 512 * 1024  # a message may have 1 MB
_KEPT = 4  # whoever fetches a projection in pieces gets them all as of one sequence


class QuestionError(RopewalkError, ValueError):
    """The question cannot be answered; the text says why and what to do."""


class Question(BaseModel):
    """The body of a message on `ctl.projection.v1.<name>`; each question looks at the fields that concern it."""

    model_config = ConfigDict(frozen=True)

    limit: int = Field(default=MAX_RUNS, description="how many runs or alarms at most; more than 1,000 count as 1,000")
    status: str = Field(default="", description="only runs of this status")
    before: int = Field(default=0, description="only runs that appeared before this sequence of the log")
    every: bool = Field(default=False, description="cleared alarms, too")
    sequence: int = Field(default=0, description="of the projection whose next piece is asked for; 0: as it is now")
    offset: int = Field(default=0, description="byte at which the piece begins")


class Answers:
    """Answers about one projector. What was asked for piece by piece is kept as of its sequence."""

    def __init__(self, projector: Projector) -> None:
        self.projector = projector
        self._renderings: dict[tuple[str, int], tuple[dict[str, Any], bytes]] = {}

    def answer(self, name: str, question: Question) -> bytes:
        """The answer to what is asked about a projection, the runs or the alarms. Raises QuestionError."""
        limit = max(1, min(question.limit, MAX_RUNS))
        match name:
            case "hashes":
                digests = {name: self.projector.digest(name) for name in self.projector.names}
                return orjson.dumps({**self.projector.place, "hashes": digests})
            case "run_list":
                status = _known(question.status)
                found = run_list(self.projector, limit, status, max(0, question.before), most_bytes=MAX_PIECE)
                return orjson.dumps(found)
            case "alarm_list":
                return orjson.dumps(alarm_list(self.projector, limit, every=question.every, most_bytes=MAX_PIECE))
            case _ if name in FOLDS:
                return self._piece(name, question.sequence, question.offset)
        raise QuestionError(f"there is no projection {quoted(name)}: ask for one of {', '.join(FOLDS)}")

    def _piece(self, name: str, sequence: int, offset: int) -> bytes:
        if not sequence:
            self._render(name)
        kept = self._renderings.get((name, sequence or self.projector.sequence))
        if kept is None:
            raise QuestionError(f"projection {name} as of {sequence} is not kept any more; begin again")
        head, body = kept
        return orjson.dumps(head) + b"\n" + body[offset : offset + MAX_PIECE]

    def _render(self, name: str) -> None:
        projector = self.projector
        body = projector.render(name)
        head = {**projector.place, "sha256": projector.digest(name), "size": len(body)}
        self._renderings.pop((name, projector.sequence), None)
        self._renderings[name, projector.sequence] = (head, body)
        while len(self._renderings) > _KEPT:
            del self._renderings[next(iter(self._renderings))]


def _known(status: str) -> str:
    if status and status not in STATUSES:
        raise QuestionError(f"status {quoted(status)} is not known: choose one of {', '.join(STATUSES)}")
    return status
