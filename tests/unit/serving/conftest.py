"""A gateway over the memory backend."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from parts.handlers_bench import Bench as HandlersBench
from parts.memory_inference import MemoryInference

from ropewalk.events.serving import RequestLog
from ropewalk.serving.adapters.fleet import Fleet
from ropewalk.serving.adapters.gateway.app import Gateway
from ropewalk.serving.domain.admission import Admission
from ropewalk.serving.domain.keys import KeyRing
from ropewalk.serving.domain.routes import Routes, Version
from ropewalk.serving.ports import Inference
from ropewalk.storage.objects import ObjectNotFoundError

CHAT = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>"


def a_version(number: int = 1, run_id: str = "run-1") -> Version:
    return Version(
        model="demo",
        number=number,
        backend="memory",
        address="",
        target=f"demo-v{number}",
        run_id=run_id,
        checkpoint_id=f"{run_id}-1-9",
        export_uri=f"exports/{number}",
        created=1_700_000_000,
    )


class FolderObjects:
    """The one method of an object store that serving calls, over a plain folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def fetch(self, key: str) -> Path:
        if not (self._root / key).is_dir():
            raise ObjectNotFoundError(key)
        return self._root / key


class Rows(list[RequestLog]):
    """A sink that keeps rows."""

    def put(self, row: RequestLog) -> None:
        self.append(row)


@dataclass
class Bench:
    """The gateway and everything around it."""

    inference: MemoryInference
    backends: dict[str, Inference]
    fleet: Fleet
    admission: Admission
    client: httpx.AsyncClient
    app: object
    rows: Rows = field(default_factory=Rows)


@pytest.fixture
def objects(tmp_path: Path) -> FolderObjects:
    for number in (1, 2):
        folder = tmp_path / "exports" / str(number)
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
        (folder / "chat_template.jinja").write_text(CHAT)
    return FolderObjects(tmp_path)


@pytest.fixture
async def bench(objects: FolderObjects) -> AsyncIterator[Bench]:
    inference, admission, rows = MemoryInference(), Admission(2), Rows()
    backends: dict[str, Inference] = {"memory": inference}
    fleet = Fleet(backends, objects)  # type: ignore[arg-type]
    version = a_version()
    await fleet.load(version)
    fleet.routes = Routes({("demo", 1): version}, {("demo", "production"): {1: 1}})
    fleet.ready.set()
    keys = KeyRing.of({"demo": "rw-demo"})
    app = Gateway(fleet, keys, admission, rows, max_body_bytes=20_000).app()
    headers = {"Authorization": "Bearer rw-demo"}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway", headers=headers) as client:
        yield Bench(inference, backends, fleet, admission, client, app, rows)


@pytest.fixture
def make_version() -> Callable[..., Version]:
    return a_version


@pytest.fixture
async def served(objects: Any, tmp_path: Path) -> HandlersBench:
    bench = HandlersBench(objects, tmp_path)
    await bench.handlers.restore(bench.log)  # type: ignore[arg-type]
    return bench
