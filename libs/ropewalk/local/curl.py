"""The SQL interface for curl: a command line that holds no secret, since everybody may read command lines."""

import shlex

from ropewalk.local.credentials import Credentials, write_private
from ropewalk.local.layout import Layout
from ropewalk.local.ports import Ports
from ropewalk.local.state import endpoints_of

SQL_USER = "ropewalk"  # the user that the monitor lets read


def write_curl_config(layout: Layout, ports: Ports, credentials: Credentials) -> None:
    """Write what `curl --config` reads. Raises OSError."""
    lines = [
        f'url = "{endpoints_of(ports).clickhouse_http}/"',
        f'header = "X-ClickHouse-User: {SQL_USER}"',
        f'header = "X-ClickHouse-Key: {credentials.clickhouse_token}"',
    ]
    write_private(layout.curl_config, "".join(f"{line}\n" for line in lines).encode())


def curl_command(layout: Layout) -> str:
    """What a person pastes into a shell."""
    return f"curl --config {shlex.quote(str(layout.curl_config))} --data-binary 'SELECT count() FROM inference'"
