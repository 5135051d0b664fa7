"""A server of the S3 protocol on this machine: moto's, an emulator that keeps objects in memory and speaks real HTTP.

It is no storage system: it shows that our requests are well-formed S3 (paging, copies, If-None-Match), not how a
provider behaves under load. `pip install 'moto[s3,server]'` into any environment; ROPEWALK_BENCH_MOTO names its
`moto_server` if that is not on the PATH.
"""

import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from ropewalk.storage.remote import open_bucket

_BUCKET = "ropewalk"
_START_S = 60.0


@contextmanager
def running_s3(scratch: Path) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Its name, and what opens the bucket. Raises OSError if it cannot be started."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = os.environ.get("ROPEWALK_BENCH_MOTO", "moto_server")
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}
    os.environ.update(keys)
    endpoint = f"http://127.0.0.1:{port}"
    with (scratch / "s3.log").open("wb") as log:
        process = subprocess.Popen([program, "-H", "127.0.0.1", "-p", str(port)], stdout=log, stderr=log)
        try:
            _make_bucket(endpoint, process)
            bucket = partial(open_bucket, f"s3://{_BUCKET}", endpoint=endpoint, patience_s=10)
            yield "moto (an emulator of S3) over HTTP", bucket
        finally:
            process.terminate()
            process.wait(20)


def _make_bucket(endpoint: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + _START_S
    while True:
        try:
            request = urllib.request.Request(f"{endpoint}/{_BUCKET}", method="PUT")
            with urllib.request.urlopen(request, timeout=5):
                return
        except OSError as error:
            if time.monotonic() > deadline or process.poll() is not None:
                raise OSError(f"the S3 server does not answer: {error}") from None
            time.sleep(0.2)
