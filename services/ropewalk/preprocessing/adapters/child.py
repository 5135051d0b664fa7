"""The entry of the child process. Importing it is cheap: Ray and the tokenizers are loaded in the child only."""

from collections.abc import Callable

from ropewalk.preprocessing.adapters.job import DriverResult, PreprocessJob


def preprocess(job: PreprocessJob, report: Callable[[object], None]) -> DriverResult:
    """See `ray_driver.preprocess`."""
    from ropewalk.preprocessing.adapters import ray_driver  # seconds and 200 MB that the idle service must not pay

    return ray_driver.preprocess(job, report)
