"""Models: their versions, when each of them answered, and which version each alias pointed to, from when to when.

Times are those of the log. A version answers under `<model>@<number>` from its deployment until it is retired; an
alias points to its targets, each a version with its weight, from one TrafficShifted to the next.
"""

from itertools import pairwise
from operator import attrgetter
from typing import Any

from ropewalk.bus.codec import Stored
from ropewalk.events.checkpoint import ModelPromoted, ParityCertified
from ropewalk.events.serving import ModelDeployed, ModelDeploying, ModelRetired, ServingFailed, TrafficShifted
from ropewalk.projections.fold import Fold, Json, Record, collect, collected, held, keep_first, keep_latest, log_time

PRODUCTION = "production"


def _version(record: Record, number: int) -> Record:
    version: Record = record.setdefault("versions", {}).setdefault(str(number), {})
    return version


def _because(stored: Stored[Any]) -> dict[str, Json]:
    """Where a fact lies and what it followed from."""
    return {
        "time": log_time(stored.time),
        "sequence": stored.sequence,
        "event_id": stored.envelope.id,
        "cause_id": stored.envelope.cause_id,
        "run_id": stored.message.run_id,
    }


def _deploying(record: Record, stored: Stored[ModelDeploying] | Stored[ModelDeployed]) -> None:
    version = _version(record, stored.message.model_version)
    keep_first(version, "checkpoint_id", stored, stored.message.checkpoint_id)
    keep_first(version, "run_id", stored, stored.message.run_id)


def _deployed(record: Record, stored: Stored[ModelDeployed]) -> None:
    _deploying(record, stored)
    event = stored.message
    version = _version(record, event.model_version)
    uris = {"export_uri": event.export_uri, "evaluation_uri": event.evaluation_uri, "openai_url": event.openai_url}
    keep_latest(version, "deployed", stored, uris)
    collect(version, "turns", stored, {"up": True, **_because(stored)})


def _retired(record: Record, stored: Stored[ModelRetired]) -> None:
    turn = {"up": False, "superseded": stored.message.superseded, **_because(stored)}
    collect(_version(record, stored.message.model_version), "turns", stored, turn)


def _failed(record: Record, stored: Stored[ServingFailed]) -> None:
    failure = {"message": stored.message.message, **_because(stored)}
    keep_latest(_version(record, stored.message.model_version), "failed", stored, failure)


def _certified(record: Record, stored: Stored[ParityCertified]) -> None:
    fields = {"passed", "paths", "num_prompts", "num_tokens", "dtype", "logprob_bound", "logprob_shifts"}
    found = stored.message.model_dump(mode="json", include=fields)
    collect(_version(record, stored.message.model_version), "parity", stored, {**found, **_because(stored)})


def _promoted(record: Record, stored: Stored[ModelPromoted]) -> None:
    promotion = {"alias": stored.message.alias, **_because(stored)}
    collect(_version(record, stored.message.model_version), "promoted", stored, promotion)


def _shifted(record: Record, stored: Stored[TrafficShifted]) -> None:
    event = stored.message
    shift = {
        "version": event.model_version,
        "targets": [{"version": each.model_version, "weight": each.weight} for each in event.targets],
        "checkpoint_id": event.checkpoint_id,
        **_because(stored),
    }
    collect(record.setdefault("aliases", {}), event.alias, stored, shift)


def _view(_: str, record: Record) -> Json:
    versions = record.get("versions", {})
    aliases = record.get("aliases", {})
    return {
        "versions": {number: _version_view(version) for number, version in versions.items()},
        "aliases": {
            alias: _spans([shift for _, shift in collected(aliases, alias) if _moves(shift, versions)])
            for alias in aliases
        },
    }


def _moves(shift: Json, versions: Record) -> bool:
    """Whether any target answered at the time; if none did, serving left the alias where it was."""
    numbers = (str(target["version"]) for target in shift["targets"])
    turns = (
        [turn for turn in _changes(versions.get(number, {})) if turn["sequence"] < shift["sequence"]]
        for number in numbers
    )
    return any(before and before[-1]["up"] for before in turns)


def _version_view(version: Record) -> Json:
    changes = _changes(version)
    return {
        "checkpoint_id": held(version, "checkpoint_id", ""),
        "run_id": held(version, "run_id", ""),
        **held(version, "deployed", {"export_uri": "", "evaluation_uri": "", "openai_url": ""}),
        "parity": [certificate for _, certificate in collected(version, "parity")],
        "promoted": [promotion for _, promotion in collected(version, "promoted")],
        "failed": held(version, "failed"),
        "up": [span for span in _spans(changes) if span.pop("up")],
        "may_return": _may_return([turn for _, turn in collected(version, "turns")]),
    }


def _may_return(turns: list[Json]) -> bool:
    """Whether it answers, or was superseded and nobody has retired it by hand since."""
    since = next((place for place, turn in enumerate(reversed(turns)) if turn["up"]), len(turns))
    return since < len(turns) and all(turn["superseded"] for turn in turns[len(turns) - since :])


def _changes(version: Record) -> list[Json]:
    """The turns of a version, without those that change nothing: a second deployment of what answers already."""
    changes: list[Json] = []
    for _, turn in collected(version, "turns"):
        if turn["up"] != (changes[-1]["up"] if changes else False):
            changes.append(turn)
    return changes


def _spans(changes: list[Json]) -> list[Json]:
    """Each change lasts until the next one."""
    return [
        {
            "from": change["time"],
            "from_sequence": change["sequence"],
            "until": following.get("time"),
            "until_sequence": following.get("sequence"),
            **{name: value for name, value in change.items() if name not in ("time", "sequence")},
        }
        for change, following in pairwise([*changes, {}])
    ]


REGISTRY = Fold(
    name="registry",
    version=4,  # 4: a superseded version that is retired by hand may not return
    key_of=attrgetter("model"),
    view=_view,
    steps={
        ModelDeploying: _deploying,
        ModelDeployed: _deployed,
        ModelRetired: _retired,
        ServingFailed: _failed,
        ParityCertified: _certified,
        ModelPromoted: _promoted,
        TrafficShifted: _shifted,
    },
)
