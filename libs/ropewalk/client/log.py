"""The log and its projections for commands: ask the monitor, or read the log where it does not answer."""

import time
from dataclasses import dataclass
from typing import Any

from ropewalk.bus.bulk import address_of, stream_ends
from ropewalk.bus.wire import NoResponderError, SilenceError, Wire
from ropewalk.client.settings import ClientSettings
from ropewalk.projections.asking import ProjectorError, RenderedProjection, ask, ask_runs, fetch
from ropewalk.projections.check import LogRules, missing_from_audit
from ropewalk.projections.lists import MOST_ALARMS, alarm_list, run_list
from ropewalk.projections.projector import Projector
from ropewalk.projections.replay import Progress, Until, advance, rebuild
from ropewalk.projections.runs import RunSummary, summary_of

_NO_ANSWER = (NoResponderError, SilenceError, ProjectorError)
_MIRROR_PATIENCE_S = 2.0  # AUDIT copies CONTROL within milliseconds; a busy disk makes it later
_MIRROR_TICK_S = 0.02


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A live projection and its rebuild at one sequence. `difference` names the first key that is not the same."""

    name: str
    live: str
    rebuilt: str
    difference: str = ""

    @property
    def equal(self) -> bool:
        """Whether the bytes are the same."""
        return self.live == self.rebuilt


@dataclass(frozen=True, kw_only=True)
class LogVerdict:
    """What `fsck` found. `comparisons` is empty if only the log was read; `findings` are sentences."""

    sequence: int
    progress: Progress
    comparisons: tuple[Comparison, ...]
    findings: tuple[str, ...]
    num_findings: int

    @property
    def ok(self) -> bool:
        """Whether everything is as it must be."""
        return not self.num_findings and all(each.equal for each in self.comparisons)


def open_log(settings: ClientSettings) -> Wire:
    """A connection for the calls below. Raises WireError."""
    return Wire(address_of(settings.nats))


def list_runs(wire: Wire, limit: int, status: str = "") -> dict[str, Any]:
    """The newest runs and how many there are."""
    try:
        return ask_runs(wire, limit, status)
    except _NO_ANSWER:
        return run_list(_folded(wire, "runs"), limit, status)


def alarms_in(wire: Wire, limit: int = MOST_ALARMS, *, every: bool = False) -> dict[str, Any]:
    """The newest alarms that are not over (`every`: all of them), and how many there are."""
    try:
        return ask(wire, "alarm_list", limit=limit, every=every)
    except _NO_ANSWER:
        return alarm_list(_folded(wire, "alarms"), limit, every=every)


def all_runs(settings: ClientSettings) -> list[RunSummary]:
    """Every run, in the order in which they appeared."""
    with open_log(settings) as wire:
        views = projections(wire, "runs")["runs"]
    return sorted((summary_of(*item) for item in views.items()), key=lambda run: run.sequence)


def projections(wire: Wire, *names: str) -> dict[str, dict[str, Any]]:
    """The items of projections, each as of now."""
    try:
        return {name: fetch(wire, name).items() for name in names}
    except _NO_ANSWER:
        projector = _folded(wire, *names)
        return {name: {key: projector.view(name, key) for key in projector.keys(name)} for name in names}


def check_log(wire: Wire, *, compare: bool) -> LogVerdict:
    """Rebuild everything, apply the rules of the log, and compare with the live projections at their sequence.

    Raises NoResponderError if `compare` and nobody answers for the live ones.
    """
    live = ask(wire, "hashes") if compare else {"sequence": None, "hashes": {}}
    rules = LogRules()
    projector, progress = rebuild(wire, Until(sequence=live["sequence"]), rules.look)
    findings = [*rules.findings, *missing_from_audit(wire, rules)]
    sequence = projector.sequence
    return LogVerdict(
        sequence=sequence,
        progress=progress,
        comparisons=tuple(_compared(wire, projector, name, sha256) for name, sha256 in live["hashes"].items()),
        findings=tuple(findings),
        num_findings=max(rules.num_findings, len(findings)),
    )


def _compared(wire: Wire, rebuilt: Projector, name: str, live_sha256: str) -> Comparison:
    """Where the hashes differ, the contents are compared, at the sequence to which the live one has moved on."""
    if rebuilt.digest(name) == live_sha256:
        return Comparison(name=name, live=live_sha256, rebuilt=live_sha256)
    live = fetch(wire, name)
    advance(rebuilt, wire, Until(sequence=live.sequence))
    return Comparison(
        name=name, live=live.sha256, rebuilt=rebuilt.digest(name), difference=first_difference(live, rebuilt)
    )


def first_difference(live: RenderedProjection, rebuilt: Projector) -> str:
    """A sentence about the first key of a projection, and the first field in it, that is not the same."""
    found = live.items()
    keys = rebuilt.keys(live.name)
    for key in sorted({*found, *keys}):
        if key not in found:
            return f"{key} is in the log and not in the live projection"
        if key not in keys:
            return f"{key} is in the live projection and not in the log"
        place = _first_unequal(found[key], rebuilt.view(live.name, key))
        if place is not None:
            return f"{key}{place}"
    return ""


def _first_unequal(live: Any, rebuilt: Any) -> str | None:
    if isinstance(live, dict) and isinstance(rebuilt, dict):
        for name in sorted({*live, *rebuilt}):
            inside = _first_unequal(live.get(name), rebuilt.get(name))
            if inside is not None:
                return f".{name}{inside}"
        return None
    return None if live == rebuilt else f": live {_shown(live)}, rebuilt {_shown(rebuilt)}"


def _shown(value: Any) -> str:
    text = repr(value)
    # Both sides must fit into one line of a terminal.
    return text if len(text) <= 80 else text[:79] + "…"


def _folded(wire: Wire, *names: str) -> Projector:
    """Folded from the log up to what CONTROL has now: the copy that is read may be some milliseconds behind."""
    projector: Projector = Projector(names)
    end, deadline = stream_ends(wire, "CONTROL").last, time.monotonic() + _MIRROR_PATIENCE_S
    advance(projector, wire)
    while projector.sequence < end and time.monotonic() < deadline:
        time.sleep(_MIRROR_TICK_S)
        advance(projector, wire)
    return projector
