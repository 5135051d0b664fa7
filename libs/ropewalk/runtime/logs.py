"""One line per record on standard error; the supervisor or the container runtime keeps them."""

import logging
import sys

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def configure_logs(level: int = logging.INFO) -> None:
    """Set up the root logger of a process."""
    logging.basicConfig(level=level, format=_FORMAT, stream=sys.stderr, force=True)
    for noisy in ("httpx", "httpcore", "nats", "uvicorn.access", "faststream"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
