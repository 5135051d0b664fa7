"""Alarms of the watch: which there are, that somebody looks after one, and a new baseline."""

from typing import TYPE_CHECKING, Any

from ropewalk.bus.wire import Wire
from ropewalk.client.errors import ClientError
from ropewalk.client.log import alarms_in
from ropewalk.client.models import ModelVersion
from ropewalk.events.foreign import quoted
from ropewalk.events.monitoring import AcknowledgeAlarm, AlarmAcknowledged, BaselineSealed, Rebaseline

if TYPE_CHECKING:
    from ropewalk.client.client import Client

_NOTED_S = 20.0


def find_alarm(wire: Wire, alarm_id: str) -> dict[str, Any]:
    """One alarm, cleared or not. Raises ClientError if there is none of this id."""
    found = alarms_in(wire, every=True)["alarms"]
    for alarm in found:
        if alarm["alarm_id"] == alarm_id:
            return dict(alarm)
    known = ", ".join(alarm["alarm_id"] for alarm in found[:10]) or "none was ever raised"
    raise ClientError(f"there is no alarm {quoted(alarm_id)}: {known}")


async def acknowledge(client: "Client", alarm: dict[str, Any], *, by: str, note: str) -> None:
    """Say that somebody looks after an alarm, and wait until the log has it. Raises ClientError if it is over."""
    if alarm["status"] == "cleared":
        reason = alarm["cleared_because"]
        raise ClientError(f"alarm {quoted(alarm['alarm_id'])} is over ({reason}): there is nothing to look after")
    request = AcknowledgeAlarm(run_id=alarm["run_id"], alarm_id=alarm["alarm_id"], by=by, note=note)
    await client.ask_for(
        request,
        AlarmAcknowledged,
        lambda noted: noted.alarm_id == request.alarm_id,
        within_s=_NOTED_S,
        asked="the monitor was asked to note it",
    )


async def rebaseline(client: "Client", version: ModelVersion, signal: str, *, by: str, reason: str) -> None:
    """Ask for the next requests of a model version as its baseline, of one signal or of all ("").

    Raises ClientError if nothing such is watched.
    """
    sealed = [
        stored.message
        async for stored in client.bus.read(f"{BaselineSealed.subject_prefix()}.{version.run_id}")
        if isinstance(stored.message, BaselineSealed) and stored.message.model_version == version.version
    ]
    if signal and not sealed:
        raise ClientError(f"{version.full_name} has no baseline yet: it is taken from its next requests anyway")
    if signal and signal not in sealed[-1].signals:
        watched = ", ".join(sealed[-1].signals)
        raise ClientError(f"signal {quoted(signal)} of {version.full_name} is not watched: choose one of {watched}")
    asked = Rebaseline(
        run_id=version.run_id,
        model=version.model,
        model_version=version.version,
        signal=signal,
        by=by,
        reason=reason,
    )
    await client.bus.publish(asked)
