"""Run the service: `python -m ropewalk.monitor`."""

import os

from ropewalk.monitor.settings import ENGINE_ALLOCATOR, Settings

if __name__ == "__main__":
    os.environ.update(JE_MALLOC_CONF=ENGINE_ALLOCATOR)  # the engine's library reads it while it is loaded

    from ropewalk.monitor.app import build
    from ropewalk.runtime.start import start

    start(build, Settings)
