"""The CloudEvents 1.0 attributes of a message, which travel as NATS headers.

A message published by hand may have no headers at all: then its id is derived from where it lies in the stream.
Reference: the CloudEvents NATS protocol binding, binary mode.
"""

import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ropewalk.events.foreign import LIMIT, cut

_EPOCH = re.compile(r"[0-9]{1,18}", re.ASCII)
NAMESPACE = uuid.UUID("6f9c0a52-5a0e-5d8e-9a51-7f3f5f0c9d11")


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """Who said it, when, about what, because of what.

    `run_id` is empty for a message that neither is about a run nor follows from one. `about` is what it is about,
    `<kind>/<id>`, and empty for a run.
    """

    id: str
    type: str
    source: str
    time: str
    run_id: str
    cause_id: str = ""
    epoch: int = 0
    traceparent: str = ""
    about: str = ""

    def headers(self) -> dict[str, str]:
        """The NATS headers, `Nats-Msg-Id` included, so that the server drops a repetition."""
        named = {
            "Nats-Msg-Id": self.id,
            "content-type": "application/json",
            "ce-specversion": "1.0",
            "ce-id": self.id,
            "ce-type": self.type,
            "ce-source": self.source,
            "ce-time": self.time,
            "ce-subject": self.about or f"run/{self.run_id}",
            "ce-correlationid": self.run_id,
            "ce-causationid": self.cause_id,
            "ce-epoch": str(self.epoch) if self.epoch else "",
            "traceparent": self.traceparent,
        }
        return {name: value for name, value in named.items() if value}

    @classmethod
    def from_headers(
        cls, headers: Mapping[str, str], *, subject: str, stored: Callable[[], tuple[int, str]]
    ) -> "Envelope":
        """Read what a sender said and derive what it left out. Never fails: headers are advice, the body decides.

        `stored` tells the message's sequence in its stream and the time there, RFC 3339; it is asked only if needed.
        What a sender says is bounded here, for it goes on into what follows: a long id becomes a short one of its own.
        """
        epoch = headers.get("ce-epoch", "")
        about = cut(headers.get("ce-subject", ""))
        about = "" if about.startswith("run/") else about
        return cls(
            id=_short(headers.get("ce-id", "")) or str(uuid.uuid5(NAMESPACE, f"{subject}/{stored()[0]}")),
            type=cut(headers.get("ce-type", "")) or "ropewalk." + subject.rpartition(".")[0],
            source=cut(headers.get("ce-source", "unknown")),
            time=cut(headers.get("ce-time", "")) or stored()[1],
            run_id=cut(headers.get("ce-correlationid", "")) or ("" if about else subject.rpartition(".")[2]),
            cause_id=_short(headers.get("ce-causationid", "")),
            epoch=int(epoch) if _EPOCH.fullmatch(epoch) else 0,
            traceparent=cut(headers.get("traceparent", "")),
            about=about,
        )


def _short(message_id: str) -> str:
    return message_id if len(message_id) <= LIMIT else str(uuid.uuid5(NAMESPACE, message_id))


def derived_id(cause_id: str, type_name: str, key: str) -> str:
    """The id of a message that follows from another: the same cause gives the same id, however often it is handled."""
    return str(uuid.uuid5(NAMESPACE, f"{cause_id}/{type_name}/{key}"))
