"""SIGTERM to a worker: its machine is about to be taken away. It saves after the step it is in, and leaves."""

import signal
from types import FrameType

GRACE_S = 25  # Kubernetes gives 30 by default


class Notice:
    """Whether this process was given notice."""

    def __init__(self) -> None:
        self.given = False

    def listen(self) -> None:
        """From here on SIGTERM is a notice. In the main thread only."""
        signal.signal(signal.SIGTERM, self._take)

    def _take(self, number: int, frame: FrameType | None) -> None:
        self.given = True
        signal.alarm(GRACE_S)  # a process that cannot leave by then is ended by SIGALRM, whatever it waits for
