"""The watch over one model version: a pure fold over its requests in the order they were stored.

First a baseline is gathered; when it is complete every further request is measured and each signal's detector
decides. The same requests in the same order give the same events, whether folded at once, one by one, or from a
snapshot on.
"""

from dataclasses import dataclass, field
from typing import Any, Self

from ropewalk.events.base import Event
from ropewalk.events.monitoring import AlarmRaised, BaselineSealed, SignalComputed
from ropewalk.events.serving import RequestLog
from ropewalk.monitor.domain.detector import Detector
from ropewalk.monitor.domain.novelty import ByteBigrams
from ropewalk.monitor.domain.signals import MEANINGS, MEASURES, measured, succeeded, tie_breaker

INTERNAL_KEY = "internal"  # the stack's own requests (parity checks) are no traffic
_LEAST_VALUES = 10  # per half of the baseline; a signal with fewer is not watched


@dataclass(frozen=True, kw_only=True)
class WatchPolicy:
    """How a watch works. The rate is shared out evenly among the signals."""

    baseline_requests: int = 120
    window_requests: int = 25
    false_alarms_per_request: float = 1e-5


@dataclass
class Watch:
    """The state of the watch over one model version."""

    model: str
    model_version: int
    policy: WatchPolicy
    num_requests: int = 0
    num_baseline: int = 0
    gathered: list[RequestLog] = field(default_factory=list)
    prompts: ByteBigrams | None = None
    detectors: dict[str, Detector] = field(default_factory=dict)

    def observe(self, request: RequestLog) -> tuple[Event, ...]:
        """Take the next request; returns what is to be said because of it."""
        if request.key_id == INTERNAL_KEY:
            return ()
        self.num_requests += 1
        if self.prompts is None:
            return self._gather(request)
        alarms = self._measure(request, self.prompts)
        if (self.num_requests - self.num_baseline) % self.policy.window_requests:
            return alarms
        return (*alarms, *self._signals(request))

    def state(self) -> dict[str, Any]:
        """Everything, as JSON values; the inverse of `restore`."""
        return {
            "num_requests": self.num_requests,
            "num_baseline": self.num_baseline,
            "gathered": [request.model_dump(mode="json") for request in self.gathered],
            "prompts": self.prompts.packed() if self.prompts else "",
            "detectors": {name: detector.state() for name, detector in self.detectors.items()},
        }

    @classmethod
    def restore(cls, model: str, model_version: int, policy: WatchPolicy, state: dict[str, Any]) -> Self:
        """Continue from a snapshot."""
        return cls(
            model=model,
            model_version=model_version,
            policy=policy,
            num_requests=state["num_requests"],
            num_baseline=state["num_baseline"],
            gathered=[RequestLog.model_validate(row) for row in state["gathered"]],
            prompts=ByteBigrams.unpacked(state["prompts"]) if state["prompts"] else None,
            detectors={name: Detector(**state["detectors"][name]) for name in MEASURES if name in state["detectors"]},
        )

    def _gather(self, request: RequestLog) -> tuple[Event, ...]:
        self.gathered.append(request)
        if sum(map(succeeded, self.gathered)) < self.policy.baseline_requests:
            return ()
        return (self._seal(request),)

    def _seal(self, request: RequestLog) -> BaselineSealed:
        """The first half gives the text model and the bins, the second half the reference ranks."""
        middle = len(self.gathered) // 2
        first, second = self.gathered[:middle], self.gathered[middle:]
        self.prompts = ByteBigrams.of([row.prompt for row in first])
        halves = {name: (self._first_half(name, first), self._values(name, second)) for name in MEASURES}
        watched = {name: half for name, half in halves.items() if min(map(len, half)) >= _LEAST_VALUES}
        threshold = len(watched) / self.policy.false_alarms_per_request
        self.detectors = {name: Detector.from_baseline(*half, threshold) for name, half in watched.items()}
        self.num_baseline, self.gathered = len(self.gathered), []
        return BaselineSealed(
            run_id=request.run_id,
            model=self.model,
            model_version=self.model_version,
            num_requests=self.num_baseline,
            signals=tuple(watched),
        )

    def _first_half(self, name: str, rows: list[RequestLog]) -> list[float]:
        """As a prompt's own bytes are in the model, each is judged by the model without it."""
        assert self.prompts is not None, "the text model comes first"
        if name != "prompt_novelty":
            return self._values(name, rows)
        found = [measured(name, row, self.prompts.without(row.prompt)) for row in rows]
        return [value for value in found if value is not None]

    def _values(self, name: str, rows: list[RequestLog]) -> list[float]:
        assert self.prompts is not None, "the text model comes first"
        found = [measured(name, row, self.prompts) for row in rows]
        return [value for value in found if value is not None]

    def _measure(self, request: RequestLog, prompts: ByteBigrams) -> tuple[Event, ...]:
        alarms = []
        for name, detector in self.detectors.items():
            value = measured(name, request, prompts)
            if value is None:
                continue
            if detector.observe(value, request.time, tie_breaker(request.request_id, name)):
                alarms.append(self._alarm(name, detector, request))
        return tuple(alarms)

    def _signals(self, request: RequestLog) -> tuple[Event, ...]:
        return tuple(
            SignalComputed(
                run_id=request.run_id,
                model=self.model,
                model_version=self.model_version,
                signal=name,
                num_requests=self.num_requests,
                statistic=detector.statistic,
                threshold=detector.threshold,
            )
            for name, detector in self.detectors.items()
        )

    def _alarm(self, name: str, detector: Detector, request: RequestLog) -> AlarmRaised:
        change = detector.change()
        quantity, unit, higher, lower = MEANINGS[name]
        rose = change.mean >= detector.baseline_mean
        return AlarmRaised(
            run_id=request.run_id,
            alarm_id=f"{self.model}-{self.model_version}-{name}-1",
            model=self.model,
            model_version=self.model_version,
            signal=name,
            statistic=detector.statistic,
            threshold=detector.threshold,
            false_alarm_rate=1 / detector.threshold,
            changed_at=change.time,
            detected_at=request.time,
            num_requests=self.num_requests,
            baseline_mean=detector.baseline_mean,
            current_mean=change.mean,
            detail=(
                f"{name}: the {quantity} {'rose' if rose else 'fell'} from {detector.baseline_mean:.3g} to "
                f"{change.mean:.3g} ({unit}) since {change.time}: {higher if rose else lower}"
            ),
        )
