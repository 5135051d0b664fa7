"""The SQL interface for ClickHouse's own client, which knows more: data frames, streams, Arrow."""

from typing import Any
from urllib.parse import urlsplit

from ropewalk.client.settings import ClientSettings, find_settings

_USUAL_PORTS = {"http": 8123, "https": 8443}


def clickhouse(settings: ClientSettings | None = None) -> dict[str, Any]:
    """What `clickhouse_connect.get_client(**clickhouse())` needs to read the tables of a stack.

    `settings`: of another stack than this user's, as `find_settings(state_dir)` gives them.
    """
    found = settings or find_settings()
    address = urlsplit(found.clickhouse_url)
    return {
        "host": address.hostname or "127.0.0.1",
        "port": address.port or _USUAL_PORTS.get(address.scheme, 8123),
        "secure": address.scheme == "https",
        "username": found.clickhouse_user,
        "password": found.clickhouse_token,
        "database": "ropewalk",
        "autogenerate_session_id": False,  # sessions are not served; without them questions may be asked in parallel
    }
