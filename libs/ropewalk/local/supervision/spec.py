"""What the supervisor needs to know about a process, and when it tries again. Values only."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

Probe = Callable[[], Awaitable[bool]]


@dataclass(frozen=True, kw_only=True)
class ProcessSpec:
    """One process: how it starts, when it counts as ready, how long it may take to stop."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    ready: Probe
    stuck: Probe | None = None  # true: it lives and will never do its work again, so it is killed and started anew
    silent: Probe | None = None  # true: it was asked and did not answer; false also where it could not be asked
    hung_after_s: float = 60.0  # of silence after it was ready once; then it is killed and started anew
    ready_within_s: float = 300.0  # of a start; then it is killed and started anew
    stop_grace_s: float = 8.0


@dataclass(frozen=True, kw_only=True)
class RestartPolicy:
    """Exponential back-off; a process that stayed up for `healthy_after_s` starts from the beginning again."""

    first_delay_s: float = 0.2
    max_delay_s: float = 10.0
    healthy_after_s: float = 30.0

    def failures_after(self, failures: int, lived_s: float) -> int:
        """How many failures in a row there are, now that a process ended after `lived_s`."""
        return 1 if lived_s >= self.healthy_after_s else failures + 1

    def delay_s(self, failures: int) -> float:
        """How long to wait before the next start; `failures` is at least 1."""
        exponent = min(failures - 1, 30)  # beyond this the power only grows
        return min(self.max_delay_s, self.first_delay_s * float(2**exponent))
