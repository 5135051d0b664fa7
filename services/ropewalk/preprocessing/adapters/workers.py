"""Plain Ray tasks: one per segment and pass. Documents never enter Ray's own object store."""

import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self

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

    def each(self, function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, Any]]:
        """Run function(*arguments[i]) for every i; yield (i, result) as they end, in any order.

        Raises what a task raised itself, without Ray's traceback around it.
        """
        task = self._ray.remote(num_cpus=1, max_retries=2)(_timed)
        running = {task.remote(function, *argument): place for place, argument in enumerate(arguments)}
        while running:
            ended, _ = self._ray.wait(list(running), num_returns=1)
            for reference in ended:
                result, cpu_seconds = self._result(reference)
                self.cpu_seconds += cpu_seconds
                yield running.pop(reference), result

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
