"""One line per record on standard error; the supervisor or the container runtime keeps them."""

import logging
import sys
import time

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_AGAIN_AFTER_S = 60.0  # until the same warning is written once more
_MOST_REMEMBERED = 1000  # texts; then all of them are forgotten


class OncePerMinute(logging.Filter):
    """Writes a warning that repeats once a minute, with how often it came: an outage of hours must fill no disk."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[str, tuple[float, int]] = {}  # when it was written, and how often it was kept back since

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to write the record now. Only warnings are held back: errors and news are not repetitions."""
        if record.levelno != logging.WARNING:
            return True
        text, now = record.getMessage(), time.monotonic()
        written, times = self._seen.get(text, (-_AGAIN_AFTER_S, 0))
        if now - written < _AGAIN_AFTER_S:
            self._seen[text] = written, times + 1
            return False
        if len(self._seen) >= _MOST_REMEMBERED:
            self._seen.clear()
        self._seen[text] = now, 0
        if times:
            record.msg, record.args = f"{text} (and {times} times before)", None
        return True


def configure_logs(level: int = logging.INFO) -> None:
    """Set up the root logger of a process."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(OncePerMinute())
    logging.basicConfig(level=level, format=_FORMAT, handlers=[handler], force=True)
    for noisy in ("httpx", "httpcore", "nats", "uvicorn.access", "faststream"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
