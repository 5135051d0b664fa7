"""A message that has killed too often is never handled again, even if it cannot be set aside at once."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from ropewalk.bus.errors import BusError
from ropewalk.delivery.hazards import Hazards

NOBODY = 2**22  # one more than the largest process id there is


async def test_it_is_set_aside_later_if_that_fails(tmp_path: Path) -> None:
    note = tmp_path / "consumer-7"
    note.write_text(f"{NOBODY} 2")  # and the third time it died, too
    raw = SimpleNamespace(metadata=SimpleNamespace(sequence=SimpleNamespace(stream=7)))
    hazards, handled, reasons = Hazards(tmp_path), [], []

    async def work() -> None:
        handled.append(raw)

    async def refused(reason: str) -> None:
        raise BusError("full")

    async def set_aside(reason: str) -> None:
        reasons.append(reason)

    with pytest.raises(BusError):
        await hazards.handle(raw, "consumer", work(), refused)
    await hazards.handle(raw, "consumer", work(), set_aside)
    assert handled == []
    assert reasons == ["the process that handled it died 3 times"]
    assert not note.exists()
