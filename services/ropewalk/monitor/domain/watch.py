"""The watch over one model version: a pure fold over its requests in the order they were stored.

First a baseline is gathered; when it is complete every further request is measured and each signal decides for
itself, again and again (`rearming`). The same requests in the same order give the same events, whether folded at once,
one by one, or from a snapshot on. The state has a bound that no number of requests moves.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

import numpy as np

from ropewalk.events.base import Message
from ropewalk.events.monitoring import AlarmCleared, BaselineSealed, SignalsComputed, SignalState
from ropewalk.monitor.domain import alarms
from ropewalk.monitor.domain.alarms import NO_BASELINE, Place
from ropewalk.monitor.domain.baseline import LEAST_VALUES, Baseline, two_halves
from ropewalk.monitor.domain.detector import Floats
from ropewalk.monitor.domain.novelty import ByteBigrams
from ropewalk.monitor.domain.rearming import Moved, Returned, Signal
from ropewalk.monitor.domain.signals import MEASURES, NOVELTY, SIGNALS, MeasuredRequest, measured, novelty, tie_breakers

INTERNAL_KEY = "internal"  # the stack's own requests (parity checks) are no traffic
_FORMAT = 2  # of a snapshot
_TOLD_EVERY_S = 10.0  # of request time: the states of signals are for people, who do not read faster


@dataclass(frozen=True, kw_only=True)
class WatchPolicy:
    """How a watch works. The rate is shared out evenly among the signals."""

    baseline_requests: int = 120
    window_requests: int = 25
    false_alarms_per_request: float = 1e-5


@dataclass(frozen=True)
class WatchNotice:
    """Something to say because of a request: its index among those given, and its number in the life of the watch."""

    index: int
    number: int
    message: Message


@dataclass
class Watch:
    """The state of the watch over one model version. `numbers` are those of the newest alarms."""

    model: str
    model_version: int
    policy: WatchPolicy
    num_requests: int = 0
    num_baseline: int = 0  # requests up to the baseline's end
    told_at: str = ""
    numbers: dict[str, int] = field(default_factory=dict)
    baseline: Baseline | None = None
    prompts: ByteBigrams | None = None
    signals: dict[str, Signal] = field(default_factory=dict)
    fails: bool = False  # an alarm says that no baseline comes about

    def __post_init__(self) -> None:
        if self.baseline is None and self.prompts is None:
            self.baseline = Baseline(self.policy.baseline_requests)

    def observe_all(self, requests: Sequence[MeasuredRequest]) -> list[WatchNotice]:
        """Take the next requests; returns what is to be said, in their order."""
        people = [place for place, request in enumerate(requests) if request.key_id != INTERNAL_KEY]
        told: list[WatchNotice] = []
        at = 0
        while at < len(people):
            size = self._up_to_the_window() if self.baseline is None else 1
            block = people[at : at + size]
            at += len(block)
            first = self.num_requests + 1
            self.num_requests += len(block)
            found = self._take([requests[place] for place in block])
            told += (WatchNotice(block[row], first + row, message) for row, message in found)
        return told

    def rebaseline(self, run_id: str, signal: str, reason: str, time: str) -> list[AlarmCleared]:
        """Take the next requests as the baseline of one signal, or of all. Raises KeyError if it is not watched."""
        chosen = {signal: self.signals[signal]} if signal else self.signals
        place = Place(run_id, self.model, self.model_version, time, self.num_requests)
        over = [name for name, each in chosen.items() if each.is_open]
        if signal:
            chosen[signal].forget()
        else:
            over += [NO_BASELINE] if self.fails else []
            self.baseline, self.prompts, self.signals = Baseline(self.policy.baseline_requests), None, {}
            self.fails = False
        return [alarms.cleared(place, name, self.numbers[name], reason) for name in over]

    def state(self) -> dict[str, Any]:
        """Everything, as JSON values; the inverse of `restore`."""
        return {
            "format": _FORMAT,
            "num_requests": self.num_requests,
            "num_baseline": self.num_baseline,
            "told_at": self.told_at,
            "numbers": self.numbers,
            "fails": self.fails,
            "baseline": self.baseline.state() if self.baseline else None,
            "prompts": self.prompts.packed() if self.prompts else "",
            "signals": {name: signal.state() for name, signal in self.signals.items()},
        }

    @classmethod
    def restore(cls, model: str, model_version: int, policy: WatchPolicy, state: dict[str, Any]) -> Self:
        """Continue from a snapshot. One of an older form only keeps the count: a new baseline is gathered."""
        watch = cls(model=model, model_version=model_version, policy=policy, num_requests=state["num_requests"])
        if state.get("format") != _FORMAT:
            watch.numbers = {name: 1 for name, each in state["detectors"].items() if each["alarmed"]}
            return watch
        for name in ("num_baseline", "told_at", "numbers", "fails"):
            setattr(watch, name, state[name])
        gathered = state["baseline"]
        watch.baseline = None if gathered is None else Baseline.restore(policy.baseline_requests, gathered)
        watch.prompts = ByteBigrams.unpacked(state["prompts"]) if state["prompts"] else None
        watch.signals = {name: Signal.restore(state["signals"][name]) for name in SIGNALS if name in state["signals"]}
        return watch

    def _up_to_the_window(self) -> int:
        window = self.policy.window_requests
        return window - (self.num_requests - self.num_baseline) % window

    def _take(self, block: list[MeasuredRequest]) -> list[tuple[int, Message]]:
        if self.baseline is not None:
            return [(0, message) for message in self._gather(self.baseline, block[0])]
        assert self.prompts is not None, "no baseline is gathered, so there is one"
        found = sorted(self._measure(block, self.prompts), key=lambda each: each[0])
        if (self.num_requests - self.num_baseline) % self.policy.window_requests == 0:
            found += ((len(block) - 1, message) for message in self._states(block[-1]))
        return found

    def _gather(self, baseline: Baseline, request: MeasuredRequest) -> Iterator[Message]:
        baseline.add(request)
        place = self._place(request)
        if baseline.is_complete:
            if self.fails:
                self.fails = False
                yield alarms.cleared(place, NO_BASELINE, self.numbers[NO_BASELINE], "enough requests succeed now")
            yield self._seal(baseline, request)
        elif baseline.num_seen == baseline.room:
            self.fails = True
            yield alarms.no_baseline(place, self._next_number(NO_BASELINE), baseline)

    def _seal(self, baseline: Baseline, request: MeasuredRequest) -> BaselineSealed:
        """The older half of the prompts gives the text model, each signal's own halves its bins and ranks."""
        older, newer = two_halves([row.prompt for row in baseline.kept])
        self.prompts = ByteBigrams.of(older)
        halves = {NOVELTY: _novelties(older, newer, self.prompts)}
        halves |= {name: baseline.halves(name) for name in MEASURES}
        watched = {name: halves[name] for name in SIGNALS if all(halves[name])}
        threshold = len(watched) / self.policy.false_alarms_per_request
        wait = self.policy.baseline_requests
        self.signals = {name: Signal.sealed(*half, threshold, wait) for name, half in watched.items()}
        self.num_baseline, self.baseline = self.num_requests, None
        return BaselineSealed(
            run_id=request.run_id,
            model=self.model,
            model_version=self.model_version,
            num_requests=len(baseline.kept),
            signals=tuple(watched),
        )

    def _measure(self, block: list[MeasuredRequest], prompts: ByteBigrams) -> Iterator[tuple[int, Message]]:
        uniforms = tie_breakers(block)
        for column, name in enumerate(SIGNALS):
            signal = self.signals.get(name)
            if signal is None:
                continue
            values = _values(name, block, prompts)
            shown = np.flatnonzero(~np.isnan(values))
            times = [block[row].time for row in shown]
            for finding in signal.observe_all(values[shown], times, uniforms[shown, column]):
                row = int(shown[finding.at])
                place = self._place(block[row], before_last=len(block) - 1 - row)
                yield from ((row, message) for message in self._said(name, signal, finding, place))

    def _said(self, name: str, signal: Signal, finding: Moved | Returned, place: Place) -> Iterator[Message]:
        number = self.numbers.get(name, 0)
        if isinstance(finding, Returned):
            yield alarms.returned(place, name, number, signal, finding)
            return
        if finding.instead:
            yield alarms.cleared(place, name, number, f"alarm {number + 1} of {name} takes its place")
        yield alarms.raised(place, name, self._next_number(name), signal, finding)

    def _states(self, request: MeasuredRequest) -> Iterator[SignalsComputed]:
        """How far the signals are from their alarms, not oftener than people read."""
        if self.told_at and abs(_seconds(self.told_at) - _seconds(request.time)) < _TOLD_EVERY_S:
            return
        self.told_at = request.time
        yield SignalsComputed(
            run_id=request.run_id,
            model=self.model,
            model_version=self.model_version,
            num_requests=self.num_requests,
            time=request.time,
            signals=tuple(
                SignalState(signal=name, statistic=signal.detector.statistic, threshold=signal.threshold)
                for name, signal in self.signals.items()
            ),
        )

    def _place(self, request: MeasuredRequest, before_last: int = 0) -> Place:
        number = self.num_requests - before_last
        return Place(request.run_id, self.model, self.model_version, request.time, number)

    def _next_number(self, name: str) -> int:
        self.numbers[name] = self.numbers.get(name, 0) + 1
        return self.numbers[name]


def _values(name: str, block: list[MeasuredRequest], prompts: ByteBigrams) -> Floats:
    if name == NOVELTY:
        return np.array([novelty(request.prompt, prompts) for request in block])
    return np.array([measured(name, request) for request in block])


def _novelties(older: list[str], newer: list[str], model: ByteBigrams) -> tuple[list[float], list[float]]:
    """As an older prompt's own bytes are in the model, each is judged by the model without it."""
    first = [novelty(prompt, model.without(prompt)) for prompt in older]
    second = [novelty(prompt, model) for prompt in newer]
    halves = [[value for value in half if not np.isnan(value)] for half in (first, second)]
    return (halves[0], halves[1]) if min(map(len, halves)) >= LEAST_VALUES else ([], [])


def _seconds(rfc3339: str) -> float:
    return datetime.fromisoformat(rfc3339).timestamp()
