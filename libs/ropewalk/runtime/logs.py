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
        self._written: dict[str, float] = {}
        self._kept_back: dict[str, int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to write the record now. Only warnings are held back: errors and news are not repetitions."""
        if record.levelno != logging.WARNING:
            return True
        text, now = record.getMessage(), time.monotonic()
        if now - self._written.get(text, -_AGAIN_AFTER_S) < _AGAIN_AFTER_S:
            self._kept_back[text] = self._kept_back.get(text, 0) + 1
            return False
        if len(self._written) >= _MOST_REMEMBERED:
            self._written.clear()
            self._kept_back.clear()
        self._written[text] = now
        if times := self._kept_back.pop(text, 0):
            record.msg, record.args = f"{text} (and {times} times before)", None
        return True


def configure_logs(level: int = logging.INFO) -> None:
    """Set up the root logger of a process."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(OncePerMinute())
    logging.basicConfig(level=level, format=_FORMAT, handlers=[handler], force=True)
    for noisy in ("httpx", "httpcore", "nats", "uvicorn.access", "faststream"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
