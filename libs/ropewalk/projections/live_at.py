"""Which model version answered under which name at a moment of the log's time. Pure: views in, values out."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ropewalk.projections.fold import Json, log_time
from ropewalk.projections.registry import PRODUCTION


@dataclass(frozen=True, kw_only=True)
class LiveTarget:
    """One of several versions behind a name, and its weight."""

    version: int
    weight: int
    answers: bool


@dataclass(frozen=True, kw_only=True)
class LiveName:
    """A name of the endpoint and what was behind it. `since` and `until` are times of the log.

    `version` is the heaviest of `targets`, which are empty where one version has the name to itself.
    `gate`, `parity` and `promoted` are the newest facts about the version at that moment, with the ids of their
    events; None if there was none. `answers` is False while an alias points to a version that is not loaded.
    """

    name: str
    model: str
    version: int
    since: str
    since_sequence: int
    until: str | None
    answers: bool
    run_id: str
    checkpoint_id: str
    endpoint: str
    gate: dict[str, Any] | None
    parity: dict[str, Any] | None
    promoted: dict[str, Any] | None
    targets: tuple[LiveTarget, ...] = ()


def live_at(registry: Mapping[str, Json], lineage: Mapping[str, Json], moment: datetime) -> list[LiveName]:
    """Every name, sorted; aliases before the versions themselves."""
    at = log_time(moment)
    found = [name for model in sorted(registry) for name in _names_of(model, registry[model], lineage, at)]
    return sorted(found, key=lambda live: (live.model, "@" in live.name, live.name))


def _names_of(model: str, entry: Json, lineage: Mapping[str, Json], at: str) -> Iterator[LiveName]:
    for alias, spans in entry["aliases"].items():
        for span in _covering(spans, at):
            name = model if alias == PRODUCTION else f"{model}:{alias}"
            yield _live(name, (model, span["version"]), span, entry, lineage, at)
    for number, version in entry["versions"].items():
        for span in _covering(version["up"], at):
            yield _live(f"{model}@{number}", (model, int(number)), span, entry, lineage, at)


def _live(
    name: str, version: tuple[str, int], span: Json, entry: Json, lineage: Mapping[str, Json], at: str
) -> LiveName:
    model, number = version
    facts = entry["versions"].get(str(number), {})
    targets = tuple(
        LiveTarget(version=each["version"], weight=each["weight"], answers=_answers(entry, each["version"], at))
        for each in span.get("targets", ())
    )
    run_id, checkpoint_id = facts.get("run_id", span["run_id"]), facts.get("checkpoint_id", "")
    checkpoint = lineage.get(run_id, {}).get("checkpoints", {}).get(checkpoint_id, {})
    return LiveName(
        name=name,
        model=model,
        version=number,
        since=span["from"],
        since_sequence=span["from_sequence"],
        until=span["until"],
        answers=_answers(entry, number, at) or any(target.answers for target in targets),
        run_id=run_id,
        checkpoint_id=checkpoint_id,
        endpoint=facts.get("openai_url", ""),
        gate=_newest(checkpoint.get("gates", []), at),
        parity=_newest(facts.get("parity", []), at),
        promoted=_newest(facts.get("promoted", []), at),
        targets=targets if len(targets) > 1 else (),
    )


def _answers(entry: Json, number: int, at: str) -> bool:
    return bool(_covering(entry["versions"].get(str(number), {}).get("up", []), at))


def _covering(spans: list[Json], at: str) -> list[Json]:
    return [span for span in spans if span["from"] <= at and (span["until"] is None or at < span["until"])]


def _newest(facts: list[Json], at: str) -> dict[str, Any] | None:
    before = [fact for fact in facts if fact["time"] <= at]
    return before[-1] if before else None
