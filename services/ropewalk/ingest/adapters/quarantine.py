"""Where records go that are no documents: one sealed folder per source and reason, nothing is dropped silently."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import orjson

from ropewalk.corpus.reading.records import Flaw
from ropewalk.events.foreign import one_line
from ropewalk.storage.manifest import file_sha256
from ropewalk.storage.objects import ObjectStore

RECORDS = "records.jsonl"
_NUM_EXAMPLES = 3
_NUM_PLACES = 100_000  # of one reason, with their details; a file of a terabyte may hold nothing but flawed records
_DETAIL_CHARS = 400


@dataclass
class Held:
    """The records of one reason. `examples` are the first of their places with the detail."""

    num_records: int = 0
    examples: tuple[str, ...] = ()
    uri: str = ""


class Quarantine:
    """Collects the flawed records of one source on disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, IO[bytes]] = {}
        self._held: dict[str, Held] = {}

    def add(self, path: str, flaw: Flaw) -> None:
        """Set a record aside. Its place and the reason are kept, not its bytes, which stay with their owner.

        All are counted; the places of the first hundred thousand of a reason are kept.
        """
        if flaw.reason not in self._files:
            folder = self._folder / flaw.reason
            folder.mkdir(parents=True)
            self._files[flaw.reason] = (folder / RECORDS).open("wb")
            self._held[flaw.reason] = Held()
        detail = one_line(flaw.detail, _DETAIL_CHARS)
        held = self._held[flaw.reason]
        if held.num_records < _NUM_PLACES:
            record = {"path": path, "reason": flaw.reason, "detail": detail, "num_bytes": flaw.num_bytes}
            self._files[flaw.reason].write(orjson.dumps(record) + b"\n")
        held.num_records += 1
        if len(held.examples) < _NUM_EXAMPLES:
            held.examples += (f"{one_line(path)}: {detail}",)

    def publish(self, objects: ObjectStore) -> dict[str, Held]:
        """Seal what was collected, after the last `add`. Reasons come sorted."""
        for reason, held in self._held.items():
            folder = self._folder / reason
            held.uri = f"quarantine/{file_sha256(folder / RECORDS)}"
            if objects.exists(held.uri):
                shutil.rmtree(folder)
            else:
                objects.publish(folder, held.uri, {"reason": reason, "num_records": held.num_records})
        return dict(sorted(self._held.items()))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self._files.values():
            file.close()
