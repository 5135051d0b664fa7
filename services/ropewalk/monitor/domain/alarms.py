"""The words of alarms: what is said when a signal leaves its reference, moves on or returns."""

from typing import Any, NamedTuple

from ropewalk.events.monitoring import AlarmCleared, AlarmRaised
from ropewalk.monitor.domain.baseline import Baseline
from ropewalk.monitor.domain.rearming import Moved, Returned, Signal
from ropewalk.monitor.domain.signals import MEANINGS

NO_BASELINE = "baseline"  # stands for the signal where a model fails so often that there is nothing to compare with


class Place(NamedTuple):
    """Where a watch stands: the model version, the run it came from, the time and number of the newest request."""

    run_id: str
    model: str
    model_version: int
    time: str
    num_requests: int


def _named(place: Place, signal: str, number: int) -> dict[str, Any]:
    """What tells which alarm is meant: its id is model, version, signal and the signal's own count."""
    alarm_id = f"{place.model}-{place.model_version}-{signal}-{number}"
    version = {"run_id": place.run_id, "model": place.model, "model_version": place.model_version}
    return {**version, "signal": signal, "alarm_id": alarm_id}


def raised(place: Place, name: str, number: int, signal: Signal, moved: Moved) -> AlarmRaised:
    """A signal left its reference."""
    quantity, unit, higher, lower = MEANINGS[name]
    change = moved.change
    rose = change.mean >= moved.reference_mean
    return AlarmRaised(
        **_named(place, name, number),
        statistic=moved.statistic,
        threshold=signal.threshold,
        false_alarm_rate=1 / signal.threshold,
        changed_at=change.time,
        detected_at=place.time,
        num_requests=place.num_requests,
        baseline_mean=moved.reference_mean,
        current_mean=change.mean,
        detail=(
            f"{name}: the {quantity} {'rose' if rose else 'fell'} from {moved.reference_mean:.4g} to "
            f"{change.mean:.4g} ({unit}) since {change.time}: {higher if rose else lower}"
        ),
        number=number,
    )


def returned(place: Place, name: str, number: int, signal: Signal, finding: Returned) -> AlarmCleared:
    """A signal is as in its baseline again."""
    reason = f"{name} returned to its baseline: {finding.mean:.4g}, as {signal.baseline_mean:.4g} before"
    return cleared(place, name, number, reason)


def cleared(place: Place, name: str, number: int, reason: str) -> AlarmCleared:
    """An alarm is over, for a reason."""
    return AlarmCleared(**_named(place, name, number), reason=reason, cleared_at=place.time)


def no_baseline(place: Place, number: int, baseline: Baseline) -> AlarmRaised:
    """A model fails so often that no baseline comes about. A plain rule, so no rate of false alarms is promised."""
    share = 1 - baseline.num_good / baseline.num_seen
    return AlarmRaised(
        **_named(place, NO_BASELINE, number),
        statistic=share,
        threshold=1 - baseline.wanted / baseline.room,
        false_alarm_rate=0.0,
        changed_at=baseline.began_at,
        detected_at=place.time,
        num_requests=place.num_requests,
        baseline_mean=0.0,
        current_mean=share,
        detail=(
            f"{NO_BASELINE}: {share:.0%} of the first {baseline.num_seen} requests since {baseline.began_at} failed or "
            "were left by their clients: there is nothing to compare this model version with"
        ),
        number=number,
    )
