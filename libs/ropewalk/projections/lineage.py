"""What came from what: source, segment, dataset version, run, checkpoint, model version, endpoint.

One record per run; `graph` joins them, since runs share sources, segments and dataset versions.
"""

from collections.abc import Mapping
from typing import Any

from ropewalk.bus.codec import Stored
from ropewalk.events.base import Message
from ropewalk.events.checkpoint import (
    CheckpointCommitted,
    CheckpointExported,
    CheckpointPruned,
    CheckpointQuarantined,
    CheckpointSaved,
)
from ropewalk.events.data import DatasetPublished, SegmentIngested, SourceRegistered
from ropewalk.events.evaluation import GateDecided
from ropewalk.events.run import RunAccepted
from ropewalk.events.serving import ModelDeployed, TrafficShifted
from ropewalk.projections.fold import (
    Fold,
    Json,
    Record,
    collect,
    collected,
    held,
    keep_first,
    keep_latest,
    log_time,
    run_of,
)

_STATUS: Mapping[type[Message], str] = {
    CheckpointCommitted: "committed",
    CheckpointQuarantined: "quarantined",
    CheckpointPruned: "pruned",
}
_PLACE: Mapping[type[Message], str] = {
    CheckpointSaved: "uri",
    CheckpointQuarantined: "uri",
    CheckpointExported: "export_uri",
}


def _part(record: Record, kind: str, identity: str) -> Record:
    part: Record = record.setdefault(kind, {}).setdefault(identity, {})
    return part


def _registered(record: Record, stored: Stored[SourceRegistered]) -> None:
    source = stored.message
    facts = {"path": source.path, "licence": source.licence, "num_files": source.num_files}
    keep_latest(_part(record, "sources", source.source_id), "is", stored, facts)


def _ingested(record: Record, stored: Stored[SegmentIngested]) -> None:
    segment = stored.message.segment
    facts = {"source_id": stored.message.source_id, "uri": segment.uri, "num_documents": segment.num_documents}
    keep_latest(_part(record, "segments", segment.segment_id), "is", stored, facts)


def _published(record: Record, stored: Stored[DatasetPublished]) -> None:
    dataset = stored.message
    facts = {"uri": dataset.uri, "num_tokens": dataset.num_tokens, "num_kept": dataset.num_kept}
    keep_latest(_part(record, "datasets", dataset.dataset_version), "is", stored, facts)


def _accepted(record: Record, stored: Stored[RunAccepted]) -> None:
    recipe = stored.message.recipe
    facts = {"recipe": str(recipe.get("name", "")), "extends": str(recipe.get("extends", ""))}
    keep_latest(record, "run", stored, facts)


def _changed(record: Record, stored: Stored[Any]) -> None:
    """What becomes of a checkpoint: its step, where it lies and its status, as far as the message says so."""
    event = stored.message
    part = _part(record, "checkpoints", event.checkpoint_id)
    keep_first(part, "step", stored, event.step)
    if type(event) in _STATUS:
        keep_latest(part, "status", stored, _STATUS[type(event)])
    if type(event) in _PLACE:
        keep_latest(part, _PLACE[type(event)], stored, event.uri)


def _decided(record: Record, stored: Stored[GateDecided]) -> None:
    gate = stored.message
    decision = {
        **gate.model_dump(mode="json", include={"decision", "reasons", "baseline", "evaluation_uri"}),
        "event_id": stored.envelope.id,
        "sequence": stored.sequence,
        "time": log_time(stored.time),
    }
    collect(_part(record, "checkpoints", gate.checkpoint_id), "gates", stored, decision)


def _deployed(record: Record, stored: Stored[ModelDeployed]) -> None:
    event = stored.message
    name = f"{event.model}@{event.model_version}"
    keep_latest(_part(record, "models", name), "is", stored, {"checkpoint_id": event.checkpoint_id})


def _shifted(record: Record, stored: Stored[TrafficShifted]) -> None:
    event = stored.message
    endpoint = _part(record, "endpoints", f"{event.model}:{event.alias}")
    for target in event.targets:
        keep_first(endpoint, f"{event.model}@{target.model_version}", stored, log_time(stored.time))


def _view(_: str, record: Record) -> Json:
    return {
        "recipe": held(record, "run", {"recipe": ""})["recipe"],
        "extends": held(record, "run", {}).get("extends", ""),
        **{
            kind: {identity: held(part, "is") for identity, part in record.get(kind, {}).items()}
            for kind in ("sources", "segments", "datasets", "models")
        },
        "checkpoints": {
            identity: {
                **{field: held(part, field) for field in ("step", "uri", "status", "export_uri")},
                "gates": [decision for _, decision in collected(part, "gates")],
            }
            for identity, part in record.get("checkpoints", {}).items()
        },
        "endpoints": {
            endpoint: {model: held(part, model) for model in part}
            for endpoint, part in record.get("endpoints", {}).items()
        },
    }


LINEAGE = Fold(
    name="lineage",
    version=2,
    key_of=run_of,
    view=_view,
    steps={
        SourceRegistered: _registered,
        SegmentIngested: _ingested,
        DatasetPublished: _published,
        RunAccepted: _accepted,
        CheckpointSaved: _changed,
        CheckpointCommitted: _changed,
        CheckpointQuarantined: _changed,
        CheckpointPruned: _changed,
        CheckpointExported: _changed,
        GateDecided: _decided,
        ModelDeployed: _deployed,
        TrafficShifted: _shifted,
    },
)
