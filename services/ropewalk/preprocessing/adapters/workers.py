"""Plain Ray tasks: one per segment and pass. Documents never enter Ray's own object store."""

import logging
import math
import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self

from ropewalk.preprocessing.domain.in_flight import InFlight

logger = logging.getLogger(__name__)
_LOOK_S = 5.0  # without a result, before it is asked which machines are there
_OBJECT_STORE_BYTES = 100 * 1024**2  # results are counts and keys
# else Ray takes the machine's address for loopback's, and listens on all
_LOOPBACK_ONLY = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
_SURROUNDINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


class Workers:
    """A Ray cluster: the one at `address`, or a private one with `num_cpus` that ends with this object."""

    def __init__(self, address: str, num_cpus: int) -> None:
        self._address = address
        self._num_cpus = num_cpus
        self.cpu_seconds = 0.0
        self._folder = TemporaryDirectory(prefix="rw-ray-", ignore_cleanup_errors=True)  # short: sockets lie in it

    def __enter__(self) -> Self:
        os.environ.update(_SURROUNDINGS)
        if not self._address:  # else anybody on this machine could run code here
            os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=_token(), **_LOOPBACK_ONLY)
        import ray  # after the environment, of which it reads parts when imported

        quiet = {"log_to_driver": False, "logging_level": "ERROR", "runtime_env": {"env_vars": _ONE_THREAD}}
        if self._address:
            ray.init(address=self._address, **quiet)
        else:
            ray.init(
                address="local",
                num_cpus=self._num_cpus,
                include_dashboard=False,
                object_store_memory=_OBJECT_STORE_BYTES,
                _temp_dir=f"{self._folder.name}/s",  # Ray opens what it is told to everybody; the one above is closed
                **quiet,
            )
        self._ray = ray
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ray.shutdown()
        self._folder.cleanup()

    def each(
        self, function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]], until: float = math.inf
    ) -> Iterator[tuple[int, Any]]:
        """Run function(*arguments[i]) for every i; yield (i, result) as they end, in any order.

        Raises what a task raised itself, without Ray's traceback around it; TimeoutError when the monotonic clock is at
        `until`, whatever still runs then.
        """
        in_flight: InFlight[Any] = InFlight(self._machines())
        self._hand_out(in_flight, function, arguments, range(len(arguments)))
        while in_flight.tasks:
            left_s = until - time.monotonic()
            if left_s <= 0:
                raise TimeoutError
            ended, _ = self._ray.wait(in_flight.tasks, num_returns=1, timeout=min(_LOOK_S, left_s))
            for reference in ended:
                result, cpu_seconds = self._result(reference)
                self.cpu_seconds += cpu_seconds
                place, spare = in_flight.end(reference)
                for other in spare:
                    self._ray.cancel(other)
                yield place, result
            # Ray misses a machine, but goes on waiting for the answers of one that did not say goodbye.
            if not ended and (orphaned := in_flight.orphaned(self._machines())):
                logger.warning("a machine of Ray is gone: tasks handed out again: %d", len(orphaned))
                self._hand_out(in_flight, function, arguments, orphaned)

    def _hand_out(
        self,
        in_flight: InFlight[Any],
        function: Callable[..., Any],
        arguments: Sequence[tuple[Any, ...]],
        places: Iterable[int],
    ) -> None:
        # A new one each time: Ray queues by it, and requests that a lost machine never answers block a queue.
        task = self._ray.remote(num_cpus=1, max_retries=2)(_timed)
        for place in places:
            in_flight.add(task.remote(function, *arguments[place]), place)

    def _machines(self) -> frozenset[str]:
        """Those that can do work, as Ray sees them now."""
        alive = (node for node in self._ray.nodes() if node["Alive"])
        return frozenset(node["NodeID"] for node in alive if node["Resources"].get("CPU"))

    def _result(self, reference: Any) -> tuple[Any, float]:
        try:
            result: tuple[Any, float] = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            raise (error.cause if isinstance(error.cause, Exception) else error) from None
        return result

    def all(self, function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        """The results in the order of the arguments."""
        return [result for _, result in sorted(self.each(function, arguments), key=lambda pair: pair[0])]


def _timed(function: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    """The result of a task and the CPU seconds it took."""
    began = time.process_time()
    return function(*arguments), time.process_time() - began


@cache
def _token() -> str:
    """The key to the private cluster. Ray reads it once in a process, so there is one for all its clusters."""
    return secrets.token_hex(32)
