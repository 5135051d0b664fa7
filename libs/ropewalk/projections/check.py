"""What must never be in a log, read from the log alone: `ropewalk fsck` lists what breaks a rule.

- a run ends at most once: one event among completed, failed, cancelled, rejected, and one state that guards it;
- the snapshots of a stage follow each other legally, and their epochs never go down;
- the fencing epochs under which a stage starts never go down;
- whatever CONTROL still has is in AUDIT, too.
"""

import json
import time
from collections.abc import Iterator
from typing import Any

from ropewalk.bus.bulk import UnparsedMessage, stream_ends
from ropewalk.bus.wire import Wire, header_values
from ropewalk.events.run import RunCancelled, RunCompleted, RunEnding, RunFailed, RunRejected, StageStarted

MAX_FINDINGS = 50  # sentences; a log that is broken in one way is broken in thousands of places
_TICK_S = 0.02
_ENDINGS = {kind.subject_prefix() for kind in (RunCompleted, RunFailed, RunCancelled, RunRejected)}
_STARTED = StageStarted.subject_prefix()
_GUARD = RunEnding.subject_prefix()
_NOT_OF_A_STAGE = {_GUARD, "state.run.pool.v1"}
_OVER = ("done", "failed", "cancelled")
# A stage that is over may be asked for again by another request; what it was asked by is in `cause_id`.
_MAY_FOLLOW: dict[str, tuple[str, ...]] = {
    "queued": ("queued", "running", "failed", "cancelled"),
    "running": ("queued", "running", *_OVER),
}


class LogRules:
    """Watches a log go by in its order. `findings` has a sentence per violation."""

    def __init__(self) -> None:
        self.findings: list[str] = []
        self.num_findings = 0
        self.gaps: list[tuple[int, int]] = []
        self._sequence = 0
        self._ended: dict[str, tuple[str, str]] = {}  # by run: id of its terminal event, and where that lies
        self._guards: dict[str, int] = {}  # by run: how often its ending was claimed
        self._stages: dict[str, tuple[str, int, str]] = {}
        self._epochs: dict[tuple[str, str], int] = {}  # by stage and run: the highest epoch that started it

    def look(self, raw: UnparsedMessage) -> None:
        """One message, in the order of the log."""
        if raw.sequence > self._sequence + 1:
            self.gaps.append((self._sequence + 1, raw.sequence - 1))
        self._sequence = raw.sequence
        prefix, _, run_id = raw.subject.rpartition(".")
        if prefix in _ENDINGS:
            self._look_at_ending(raw, run_id)
        elif prefix == _STARTED:
            self._look_at_start(raw, run_id)
        elif prefix == _GUARD:
            self._guards[run_id] = self._guards.get(run_id, 0) + 1
            if self._guards[run_id] > 1:
                self._found(f"run {run_id}: its ending was claimed again at {raw.sequence}")
        elif prefix.startswith("state.run.") and prefix not in _NOT_OF_A_STAGE:
            self._look_at_state(raw)

    def _look_at_ending(self, raw: UnparsedMessage, run_id: str) -> None:
        event_id = header_values(raw.headers).get("ce-id", f"without an id at {raw.sequence}")
        name = raw.subject.split(".")[2]
        known = self._ended.setdefault(run_id, (event_id, f"{name} at {raw.sequence}"))
        if known[0] != event_id:
            self._found(f"run {run_id} ended twice: {known[1]}, then {name} at {raw.sequence}")

    def _look_at_start(self, raw: UnparsedMessage, run_id: str) -> None:
        body = _json(raw)
        stage, epoch = str(body.get("stage")), int(body.get("epoch", 0))
        before = self._epochs.get((stage, run_id), 0)
        if epoch < before:
            self._found(f"stage {stage} of {run_id} started under epoch {epoch} after {before}, at {raw.sequence}")
        self._epochs[stage, run_id] = max(epoch, before)

    def _look_at_state(self, raw: UnparsedMessage) -> None:
        state = _json(raw)
        status, epoch, cause = str(state.get("status")), int(state.get("epoch", 0)), str(state.get("cause_id"))
        known = self._stages.get(raw.subject)
        self._stages[raw.subject] = (status, epoch, cause)
        if known is None:
            return
        before, last_epoch, last_cause = known
        where = f"{raw.subject} at {raw.sequence}"
        if epoch < last_epoch:
            self._found(f"{where}: epoch {epoch} after {last_epoch}")
        if before in _OVER and cause == last_cause:
            self._found(f"{where}: {status} after {before}, without a new request")
        elif before not in _OVER and status not in _MAY_FOLLOW.get(before, ()):
            self._found(f"{where}: {status} after {before}")

    def _found(self, sentence: str) -> None:
        self.num_findings += 1
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(sentence)


def missing_from_audit(wire: Wire, rules: LogRules, patience_s: float = 5.0) -> Iterator[str]:
    """Sentences about what CONTROL has and AUDIT lacks: in the gaps of what was read, and beyond its end.

    A mirror that is behind is no fault as long as it moves: `patience_s` is for one that stands still.
    """
    control = stream_ends(wire, "CONTROL")
    copied, deadline = 0, time.monotonic() + patience_s
    while copied < control.last and time.monotonic() < deadline:
        before, copied = copied, stream_ends(wire, "AUDIT").last
        if copied > before:
            deadline = time.monotonic() + patience_s
        time.sleep(_TICK_S)
    if copied < control.last:
        yield f"AUDIT stands at {copied} and does not follow CONTROL, which ends at {control.last}"
    for first, last in rules.gaps:
        asked = json.dumps({"seq": max(first, control.first), "next_by_subj": ">"}).encode()
        answer = json.loads(wire.request("$JS.API.STREAM.MSG.GET.CONTROL", asked).body)
        found = answer.get("message", {}).get("seq", last + 1)
        if found <= last:
            yield f"AUDIT lacks messages {first} to {last}, of which CONTROL still has {found}"


def _json(raw: UnparsedMessage) -> dict[str, Any]:
    try:
        body = json.loads(raw.body)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
