"""What a service needs is looked after from threads: named with its cause while it is away, then forgotten."""

import http.server
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ropewalk.runtime import needs as module
from ropewalk.runtime.needs import Needs, why_no_answer, why_no_room, why_not_reached
from ropewalk.storage.connect import StoreAddress
from ropewalk.storage.probing import why_unwell


def eventually(found: Callable[[], bool]) -> bool:
    """Whether it becomes true within a few seconds."""
    deadline, tick = time.monotonic() + 5.0, threading.Event()
    while not found() and time.monotonic() < deadline:
        tick.wait(0.01)
    return found()


@pytest.fixture
def needs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Needs]:
    monkeypatch.setattr(module, "_LOOK_S", 0.01)
    monkeypatch.setattr(module, "_SILENT_S", 0.05)
    made = Needs()
    yield made
    made.stop()


def test_a_need_is_missing_since_it_was_first_seen_so_and_until_it_is_back(needs: Needs) -> None:
    said = ["Ray is away"]
    needs.add("ray", lambda: said[0])
    needs.start()
    assert eventually(lambda: bool(needs.missing()))
    (first,) = needs.missing()
    assert (first.kind, first.what) == ("ray", "Ray is away")
    said[0] = "Ray is away\nstill"
    assert eventually(lambda: "still" in needs.missing()[0].what)
    assert needs.missing()[0].since == first.since
    assert "\n" not in needs.missing()[0].what
    said[0] = ""
    assert eventually(lambda: not needs.missing())


def test_a_look_that_hangs_is_a_need_that_does_not_answer(needs: Needs) -> None:
    back = threading.Event()
    needs.add("objects", lambda: str(back.wait() and ""))
    needs.start()
    assert eventually(lambda: [each.kind for each in needs.missing()] == ["objects"])
    back.set()
    assert eventually(lambda: not needs.missing())


def test_a_server_is_missed_if_it_is_away_and_if_it_answers_badly() -> None:
    class Teapot(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/ping" else 418)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Teapot) as server:
        threading.Thread(target=server.serve_forever).start()
        url = f"http://user:secret@127.0.0.1:{server.server_port}"
        assert why_no_answer("ClickHouse", url, "/ping") == ""
        assert why_not_reached("Ray", f"127.0.0.1:{server.server_port}") == ""
        refused = why_no_answer("ClickHouse", url, "/other")
        server.shutdown()
    assert refused == f"ClickHouse at http://127.0.0.1:{server.server_port} answers 418 to /other"
    assert "secret" not in (away := why_no_answer("ClickHouse", url, "/ping"))
    assert "does not answer" in away
    assert "cannot be reached" in why_not_reached("Ray", "127.0.0.1:1")
    assert "does not answer" in why_no_answer("Triton", "http://triton", "/", Path("/nowhere"))


def test_a_store_is_well_if_it_takes_and_gives_back_an_object(tmp_path: Path) -> None:
    assert why_unwell(StoreAddress(url=(tmp_path / "objects").as_uri())) == ""
    assert why_no_room(tmp_path) == ""
    (tmp_path / "file").touch()
    assert "cannot be used" in why_unwell(StoreAddress(url=(tmp_path / "file" / "objects").as_uri()))
    assert "cannot be used" in why_no_room(tmp_path / "file" / "folder")


def test_a_bucket_that_is_away_is_named_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"):
        monkeypatch.setenv(name, "x")
    began = time.monotonic()
    said = why_unwell(StoreAddress(url="s3://bucket", endpoint="http://127.0.0.1:1"))
    assert "the object store s3://bucket at http://127.0.0.1:1 does not answer" in said
    assert "HTTP error" in said
    assert len(said) < 400
    assert time.monotonic() - began < 15
