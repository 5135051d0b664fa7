"""The column store through clickhouse-connect: the engine in this process (chDB) or a ClickHouse server.

Both are one client interface, so everything above runs the same code. The client blocks, so a thread of its own
does all of it; that also keeps inserts in the order in which they were asked for.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit

import clickhouse_connect
import orjson
from clickhouse_connect.driver.exceptions import ClickHouseError, OperationalError, ProgrammingError

from ropewalk.monitor.adapters.migrating import migrate
from ropewalk.monitor.domain.rows import Row
from ropewalk.monitor.errors import AnalyticsError, StoreRefusedError, StoreUnavailableError

T = TypeVar("T")
DATABASE = "ropewalk"
_CONNECT_S = 5
_ANSWER_S = 30  # a batch is stored within a second: a server that has not answered by then is asked anew
_LOCK_WAIT_S = 30.0  # for a predecessor that is being stopped and still holds the folder
# codes by which a server says that it could not, not that the statement is wrong
_PASSING_CODES = {159, 173, 202, 203, 209, 210, 241, 242, 243, 252, 425, 439, 999}


def engine_options(max_memory_mb: int) -> dict[str, str]:
    """Options that keep the engine in this process small: few background threads, bounded memory and caches."""
    return {
        "max_server_memory_usage": str(max_memory_mb * 1024**2),
        "mark_cache_size": str(8 * 1024**2),
        "uncompressed_cache_size": "0",
        "index_mark_cache_size": str(4 * 1024**2),
        "query_condition_cache_size": "0",
        "background_merges_mutations_concurrency_ratio": "1",
        "background_pool_size": "2",
        "background_schedule_pool_size": "2",
        "background_common_pool_size": "2",
        "background_move_pool_size": "1",
        "background_fetches_pool_size": "1",
        "background_distributed_schedule_pool_size": "1",
        "background_message_broker_schedule_pool_size": "1",
        "background_buffer_flush_schedule_pool_size": "1",
    }


def engine_address(path: Path, max_memory_mb: int) -> str:
    """How chDB is told to open a folder. All handles of a process must say the same."""
    return f"{path}?{urlencode(engine_options(max_memory_mb))}"


class ClickHouse:
    """A column store that speaks ClickHouse's SQL; our tables live in its database `ropewalk`.

    Make it with `open_embedded` or `open_server`. Its methods raise StoreUnavailableError and StoreRefusedError.
    """

    def __init__(self, client: Any, executor: ThreadPoolExecutor) -> None:
        self._client = client
        self._executor = executor

    async def command(self, statement: str) -> None:
        """Run a statement without a result."""
        await _in_thread(self._executor, lambda: self._client.command(statement))

    async def insert(self, table: str, rows: Sequence[Row], *, token: str = "") -> None:
        """Store rows as one block, all or nothing. A block whose token was seen before is dropped."""
        settings = {"async_insert": 0} | ({"insert_deduplication_token": token} if token else {})
        block = b"\n".join(map(orjson.dumps, rows))
        await _in_thread(
            self._executor,
            lambda: self._client.raw_insert(f"{DATABASE}.{table}", None, block, settings=settings, fmt="JSONEachRow"),
        )

    async def query(self, statement: str, parameters: Mapping[str, Any] | None = None) -> list[Row]:
        """The rows of a SELECT. Parameters are `{name:Type}` in the statement."""
        return await _in_thread(
            self._executor,
            lambda: list(self._client.query(statement, parameters=dict(parameters or {})).named_results()),
        )

    async def close(self) -> None:
        """Let go of the store."""
        await _in_thread(self._executor, self._client.close)
        self._executor.shutdown()


async def open_embedded(path: Path, max_memory_mb: int = 1024) -> ClickHouse:
    """Open the engine in this process, with the tables of this release. Raises NewerTablesError."""
    return await _migrated(await connect_embedded(path, max_memory_mb))


async def open_server(url: str) -> ClickHouse:
    """Connect to a ClickHouse server, with the tables of this release. `url`: http(s)://user:password@host:port.

    Raises NewerTablesError, and StoreUnavailableError while the server is away.
    """
    executor = ThreadPoolExecutor(1, thread_name_prefix="clickhouse")
    client = await _in_thread(
        executor,
        lambda: clickhouse_connect.get_client(
            dsn=url,
            interface=urlsplit(url).scheme,  # which it does not read from the address: the password would go in clear
            autogenerate_session_id=False,
            connect_timeout=_CONNECT_S,
            send_receive_timeout=_ANSWER_S,
        ),
    )
    return await _migrated(ClickHouse(client, executor))


async def _migrated(store: ClickHouse) -> ClickHouse:
    try:
        await migrate(store)
    except AnalyticsError:
        await store.close()  # or it would be left open at every try
        raise
    return store


async def connect_embedded(path: Path, max_memory_mb: int = 1024) -> ClickHouse:
    """Open the engine in this process, with whatever is in the folder.

    Waits for a predecessor that still holds the folder. Raises StoreRefusedError where the engine is not installed.
    """
    if find_spec("chdb") is None:
        raise StoreRefusedError(
            "chDB, which keeps the tables in this process, is not installed here: set ROPEWALK_MONITOR_CLICKHOUSE_URL "
            "to a ClickHouse server, or pip install 'ropewalk[local]'"
        )
    path.mkdir(parents=True, exist_ok=True)
    executor = ThreadPoolExecutor(1, thread_name_prefix="chdb")

    def connect() -> Any:
        (path / "metadata" / "default.sql").unlink(missing_ok=True)  # of `_shut_files_out`: it cannot be replaced
        deadline = time.monotonic() + _LOCK_WAIT_S
        options = engine_options(max_memory_mb)
        while True:
            try:
                return clickhouse_connect.get_client(interface="chdb", path=str(path), chdb_options=options)
            except ProgrammingError:
                if time.monotonic() >= deadline:
                    raise
            time.sleep(0.25)

    store = ClickHouse(await _in_thread(executor, connect), executor)
    await _shut_files_out(store)
    return store


async def _shut_files_out(store: ClickHouse) -> None:
    """Put an empty database in the place of chDB's own `default`, which takes every file of the machine for a table.

    It is only detached: what somebody once made in it stays on the disk.
    """
    if await store.query("SELECT 1 FROM system.databases WHERE name = 'default' AND engine = 'Overlay'"):
        await store.command("DETACH DATABASE default")
        await store.command("CREATE DATABASE default ENGINE = Memory")


async def _in_thread(executor: ThreadPoolExecutor, work: Callable[[], T]) -> T:
    """Run `work` there. Raises StoreUnavailableError, StoreRefusedError."""
    try:
        return await asyncio.get_running_loop().run_in_executor(executor, work)
    except OperationalError as error:
        raise StoreUnavailableError(_first_line(error)) from error
    except ClickHouseError as error:
        passing = getattr(error, "code", None) in _PASSING_CODES
        raise (StoreUnavailableError if passing else StoreRefusedError)(_first_line(error)) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:500]
