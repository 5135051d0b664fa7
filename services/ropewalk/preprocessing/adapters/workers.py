"""Plain Ray tasks: one per segment and pass. Documents never enter Ray's own object store."""

from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, Self

import ray

_ONE_THREAD = {"OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}


class Workers:
    """A Ray cluster: the one at `address`, or a private one with `num_cpus` that ends with this object."""

    def __init__(self, address: str, num_cpus: int) -> None:
        self._address = address
        self._num_cpus = num_cpus
        self.cpu_seconds = 0.0

    def __enter__(self) -> Self:
        quiet = {"log_to_driver": False, "logging_level": "ERROR", "runtime_env": {"env_vars": _ONE_THREAD}}
        if self._address:
            ray.init(address=self._address, **quiet)
        else:
            ray.init(address="local", num_cpus=self._num_cpus, include_dashboard=False, **quiet)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        ray.shutdown()

    def each(
        self, function: Callable[..., tuple[Any, float]], arguments: Sequence[tuple[Any, ...]]
    ) -> Iterator[tuple[int, Any]]:
        """Run function(*arguments[i]) for every i; yield (i, result) as they end, in any order."""
        task = ray.remote(num_cpus=1, max_retries=2)(function)
        running = {task.remote(*argument): place for place, argument in enumerate(arguments)}
        while running:
            ended, _ = ray.wait(list(running), num_returns=1)
            for reference in ended:
                result, cpu_seconds = ray.get(reference)
                self.cpu_seconds += cpu_seconds
                yield running.pop(reference), result

    def all(self, function: Callable[..., tuple[Any, float]], arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        """The results in the order of the arguments."""
        return [result for _, result in sorted(self.each(function, arguments), key=lambda pair: pair[0])]
