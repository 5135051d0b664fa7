"""A stand-in for a ClickHouse server where its image cannot be had. It is not the server.

chDB carries the same engine; the HTTP interface before it is the one that the monitor serves in the embedded profile,
with what a server does otherwise: users come from CLICKHOUSE_USER and CLICKHOUSE_PASSWORD, and from CREATE USER; one
starts in the database `default`. It asks the engine whether a statement about users, roles, profiles and quotas is
well formed, and heeds of it only names and passwords: every user but the first may read, as the monitor's readers may.
Not served: sessions, external tables, native block compression, the native protocol.
"""

import argparse
import asyncio
import json
import os
import re
import signal
import sys
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from ropewalk.monitor.adapters import http_request
from ropewalk.monitor.adapters.accounts import Account
from ropewalk.monitor.adapters.clickhouse import connect_embedded, engine_address
from ropewalk.monitor.adapters.embedded import EmbeddedEngine, Statement
from ropewalk.monitor.adapters.facade import Facade, serve

ACCESS = re.compile(r"(CREATE|ALTER|DROP)\s+(USER|ROLE|QUOTA|(SETTINGS\s+)?PROFILE)\b|GRANT\b|REVOKE\b", re.IGNORECASE)
USER = re.compile(
    r"(?P<verb>CREATE|ALTER|DROP)\s+USER\s+(IF\s+(NOT\s+)?EXISTS\s+|OR\s+REPLACE\s+)?[`\"]?(?P<name>\w+)[`\"]?"
    r"(.*?\bIDENTIFIED\s+(WITH\s+\w+\s+)?BY\s+'(?P<password>(?:[^'\\]|\\.|'')*)')?",
    re.IGNORECASE | re.DOTALL,
)


class Users:
    """Who may come in beside the first user; kept in a file beside the tables."""

    def __init__(self, file: Path, first: Account) -> None:
        self._file = file
        self._first = first
        self._passwords: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}

    def accounts(self) -> tuple[Account, ...]:
        """All of them."""
        others = (Account(user=name, password=password) for name, password in self._passwords.items())
        return (self._first, *others)

    def heed(self, statement: str) -> None:
        """Take what a well-formed statement says of one user."""
        found = USER.match(statement)
        if not found:
            return
        name, verb = found["name"], found["verb"].upper()
        if verb == "DROP":
            self._passwords.pop(name, None)
        elif found["password"] and not (verb == "CREATE" and "NOT EXISTS" in statement and name in self._passwords):
            self._passwords[name] = found["password"].replace("''", "'").replace("\\'", "'").replace("\\\\", "\\")
        temporary = self._file.with_suffix(".tmp")
        temporary.touch(mode=0o600)
        temporary.write_text(json.dumps(self._passwords))
        temporary.replace(self._file)


class Server(Facade):
    """The monitor's interface, with the ways of a server."""

    def __init__(self, engine: EmbeddedEngine, users: Users) -> None:
        super().__init__(engine, users.accounts())
        self._users = users

    def _work(self, request: Request, body: bytes, account: Account, mark: str) -> Response:
        if account.read_only:
            return super()._work(request, body, account, mark)
        request = _in_default(request)
        statement = self._about_access(request, body)
        if not statement:
            return super()._work(request, body, account, mark)
        escaped = statement.translate({ord("\\"): r"\\", ord("'"): r"\'"})
        checked = f"SELECT formatQuery('{escaped}') FORMAT Null"
        self._engine.run(Statement(raw=checked.encode(), database="default"), mark)
        self._users.heed(statement)
        self._accounts = self._users.accounts()
        return Response()

    def _about_access(self, request: Request, body: bytes) -> str:
        sql = http_request.statement_of(request, body, read_only=False).raw.decode("utf-8", "replace").strip()
        return sql if ACCESS.match(sql) else ""


def _in_default(request: Request) -> Request:
    """The request in the database in which a server's first user is; one that the client names comes before it."""
    query = b"database=default&" + request.scope["query_string"]
    named = "x-clickhouse-database" in request.headers
    return request if named else Request({**request.scope, "query_string": query})


async def main(folder: Path, host: str, port: int, memory_mb: int) -> None:
    """Serve until SIGTERM or SIGINT."""
    user, password = os.environ.get("CLICKHOUSE_USER", "default"), os.environ.get("CLICKHOUSE_PASSWORD", "")
    if not password:
        sys.exit("the stand-in for ClickHouse needs CLICKHOUSE_PASSWORD (and CLICKHOUSE_USER)")
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    store = await connect_embedded(folder, memory_mb)
    first = Account(user=user, password=password, read_only=False, operator=True)
    engine = EmbeddedEngine(engine_address(folder, memory_mb), query_seconds=3600, memory_mb=memory_mb)
    server = asyncio.create_task(serve(Server(engine, Users(folder / "users.json", first)), host, port))
    print(f"a stand-in for ClickHouse, chDB behind HTTP, listens on {host}:{port}", flush=True)
    await asyncio.wait({server, asyncio.create_task(stopped.wait())}, return_when=asyncio.FIRST_COMPLETED)
    server.cancel()
    results = await asyncio.gather(server, return_exceptions=True)
    await store.close()
    if not stopped.is_set():
        sys.exit(str(results[0]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("/var/lib/clickhouse"))
    parser.add_argument("--host", default="0.0.0.0")
    parser.add_argument("--port", type=int, default=8123)
    parser.add_argument("--memory-mb", type=int, default=1536)
    options = parser.parse_args()
    asyncio.run(main(options.folder, options.host, options.port, options.memory_mb))
