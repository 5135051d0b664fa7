"""A store that answers with an error is asked again for as long as its user can wait: services long, people not."""

import http.server
import threading
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import pytest

from ropewalk.client import find_settings
from ropewalk.storage.connect import AT_HAND_S, IN_HAND_S, StoreAddress
from ropewalk.storage.remote import RemoteObjects, open_bucket


class _FullServer(http.server.ThreadingHTTPServer):
    """Answers the first `refusals` writes with 500, as SeaweedFS does whose volume is full."""

    def __init__(self, refusals: int) -> None:
        super().__init__(("127.0.0.1", 0), _Requests)
        self.refusals = refusals
        self.writes = 0


class _Requests(http.server.BaseHTTPRequestHandler):
    server: _FullServer

    def _answer(self, status: HTTPStatus, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.send_header("etag", '"x"')
        self.end_headers()
        self.wfile.write(body)

    def do_HEAD(self) -> None:
        self._answer(HTTPStatus.NOT_FOUND)

    def do_GET(self) -> None:
        listing = (
            b"<ListBucketResult><Name>b</Name><KeyCount>0</KeyCount><IsTruncated>false</IsTruncated></ListBucketResult>"
        )
        self._answer(HTTPStatus.OK, listing)

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.server.writes += 1
        full = self.server.writes <= self.server.refusals
        self._answer(HTTPStatus.INTERNAL_SERVER_ERROR if full else HTTPStatus.OK)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> Iterator[_FullServer]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"):
        monkeypatch.setenv(name, "x")
    with _FullServer(refusals=3) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def _publish(server: _FullServer, tmp_path: Path, patience_s: float) -> None:
    bucket = open_bucket("s3://b", endpoint=f"http://127.0.0.1:{server.server_port}", patience_s=patience_s)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "weights").write_bytes(b"w" * 1000)
    RemoteObjects(bucket, cache=tmp_path / "cache").publish(folder, "checkpoints/1", {})


def test_a_folder_is_published_once_a_full_store_has_room_again(full: _FullServer, tmp_path: Path) -> None:
    _publish(full, tmp_path, IN_HAND_S)
    assert full.writes == 3 + 2  # the file and the manifest


def test_a_store_that_stays_full_is_an_error_of_the_disk_without_the_insides_of_the_client(
    full: _FullServer, tmp_path: Path
) -> None:
    with pytest.raises(OSError, match=r"the object store takes no files: .*500") as raised:
        _publish(full, tmp_path, 0)
    assert "Debug source" not in str(raised.value)
    assert full.writes == 1


def test_a_person_waits_for_a_store_less_long_than_a_service(tmp_path: Path) -> None:
    assert StoreAddress(url="s3://b").patience_s == IN_HAND_S >= 120
    assert find_settings(tmp_path).store.patience_s == AT_HAND_S <= 15
