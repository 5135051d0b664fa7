"""How a service ends: what is in hand is finished within a grace, then it leaves; a second signal hurries it.

Nothing depends on a good ending: a message that is not acknowledged comes again, a lease that is not given back
expires. A drained service only spares the others the wait.
"""

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections.abc import Callable

logger = logging.getLogger(__name__)

_LAST_WORDS_S = 1.0  # after the grace: to cancel what is left and to close connections


class Draining:
    """Says when the grace of a stop is over; `over` is set then, or by a second signal."""

    def __init__(self, grace_s: float) -> None:
        self.over = asyncio.Event()
        self._grace_s = grace_s
        self._began: float | None = None  # monotonic seconds

    def listen(self, on_stop: Callable[[], None]) -> None:
        """Take SIGTERM and SIGINT from now on; the first one calls `on_stop`."""
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._stop, on_stop)

    def _stop(self, on_stop: Callable[[], None]) -> None:
        if self._began is not None:
            self.over.set()
            return
        self._began = time.monotonic()
        loop = asyncio.get_running_loop()
        loop.call_later(self._grace_s, self.over.set)
        # Not cancelled when all is done: the loop still waits for threads, say one that asks an object store.
        loop.call_later(self._grace_s + _LAST_WORDS_S, self._leave)
        on_stop()

    def has_begun(self) -> bool:
        """Whether the first signal came."""
        return self._began is not None

    async def linger(self, seconds: float) -> None:
        """Wait until so long after the first signal, or until the grace is over."""
        left_s = 0.0 if self._began is None else self._began + seconds - time.monotonic()
        if left_s > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.over.wait(), left_s)

    def _leave(self) -> None:
        logger.warning("not everything ended within the grace; leaving")
        os._exit(0)
