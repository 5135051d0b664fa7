"""The configuration file of a nats-server: who may connect, what they may do, where it listens and how it stores."""

import ipaddress
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ropewalk.admin.access import OPERATOR, USERS, rights_of
from ropewalk.local.broker.health import HEALTH, STORE
from ropewalk.local.broker.keys import ensure_keys
from ropewalk.local.credentials import Credentials, write_private
from ropewalk.local.errors import LocalError
from ropewalk.local.layout import Layout
from ropewalk.local.names import SYSTEM_USER
from ropewalk.local.ports import LOOPBACK, Ports

_ANSWER_WITHIN = "30s"


class PlainServerError(LocalError):
    """A server would listen beyond loopback without TLS."""


@dataclass(frozen=True)
class BusAccounts:
    """The users of a server: public keys by user, and passwords of those who may also come without a key.

    With a `system_password` the server can be asked about itself, on the bus instead of a port open to everybody.
    """

    public_keys: Mapping[str, str]
    passwords: Mapping[str, str] = field(default_factory=dict, repr=False)
    system_password: str = field(default="", repr=False)


@dataclass(frozen=True)
class ServerCertificate:
    """PEM files with which a server shows who it is."""

    certificate: Path
    key: Path


@dataclass(frozen=True, kw_only=True)
class BusServer:
    """Where a server listens and keeps its files. Beyond loopback it must have a certificate."""

    store: Path
    port: int
    host: str = LOOPBACK
    certificate: ServerCertificate | None = None


def write_bus_config(layout: Layout, ports: Ports, credentials: Credentials) -> None:
    """Make the keys that are missing and tell the embedded server its users. Raises OSError, SeedFileError."""
    keys, passwords = ensure_keys(layout.keys, USERS), {OPERATOR: credentials.nats_password}
    accounts = BusAccounts(keys, passwords, credentials.system_password)
    server = BusServer(store=layout.nats_store, port=ports.nats)
    write_private(layout.nats_config, nats_config(server, accounts).encode())


def nats_config(server: BusServer, accounts: BusAccounts) -> str:
    """JetStream that has synced every message before it acknowledges it, for known users only.

    Raises PlainServerError for a server that others could reach without TLS.
    """
    return f"""\
server_name: ropewalk
listen: "{server.host}:{server.port}"
jetstream {{
  store_dir: {quoted_path(server.store)}
  sync_interval: always
  max_memory_store: 64MB
  max_file_store: 100GB
}}
{_encryption(server)}{_system_config(accounts)}{users_config(accounts)}"""


def quoted_path(path: Path) -> str:
    """As the server reads it: JSON's escapes, but letters of every script as they are."""
    return json.dumps(str(path), ensure_ascii=False)


def users_config(accounts: BusAccounts) -> str:
    """The part of a server's configuration that says who may connect and what they may do."""
    known = [("nkey", {"nkey": key}, user) for user, key in accounts.public_keys.items()]
    known += [("password", {"user": user, "password": word}, user) for user, word in accounts.passwords.items()]
    lines = [f"    # {user}, by {means}\n    {json.dumps({**who, **permissions(user)})}" for means, who, user in known]
    return "authorization {\n  users: [\n" + "\n".join(lines) + "\n  ]\n}\n"


def _system_config(accounts: BusAccounts) -> str:
    """The server's own account, whose one user may ask how the server is and what it holds."""
    if not accounts.system_password:
        return ""
    allowed = {"publish": {"allow": [HEALTH, STORE]}, "subscribe": {"allow": [f"_INBOX_{SYSTEM_USER}.>"]}}
    user = {"user": SYSTEM_USER, "password": accounts.system_password, "permissions": allowed}
    return f"system_account: SYS\naccounts: {json.dumps({'SYS': {'users': [user]}})}\n"


def permissions(user: str) -> dict[str, Any]:
    """The rights of a user as the server reads them. What is not listed is forbidden."""
    rights = rights_of(user)
    answers = {"allow_responses": {"max": 1, "expires": _ANSWER_WITHIN}} if rights.responds else {}
    allowed = {"publish": {"allow": rights.publish}, "subscribe": {"allow": rights.subscribe}}
    return {"permissions": {**allowed, **answers}}


def _encryption(server: BusServer) -> str:
    """Clients of ours speak TLS from the first byte; `auto` also takes those that wait for the server's greeting."""
    if server.certificate is None:
        if not _is_loopback(server.host):
            raise PlainServerError(
                f"a server on {server.host} can be reached from other machines, so it needs a certificate: "
                "`ropewalk keys create DIR --host NAME` makes one"
            )
        return ""
    return f"""\
tls {{
  cert_file: {quoted_path(server.certificate.certificate)}
  key_file: {quoted_path(server.certificate.key)}
  handshake_first: "500ms"  # so long a client may take to begin; the usual 50 is too short on a busy machine
  timeout: 5
}}
"""


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
