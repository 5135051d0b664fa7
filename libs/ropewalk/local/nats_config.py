"""The configuration file of the embedded nats-server."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ropewalk.events.access import rights_of
from ropewalk.local.layout import Layout
from ropewalk.local.ports import LOOPBACK, Ports

_ANSWER_WITHIN = "30s"


@dataclass(frozen=True)
class BusAccounts:
    """The users of a server: public keys by user, and passwords of those who may also come without a key."""

    public_keys: Mapping[str, str]
    passwords: Mapping[str, str] = field(default_factory=dict, repr=False)


def nats_config(layout: Layout, ports: Ports, accounts: BusAccounts) -> str:
    """JetStream that has synced every message before it acknowledges it, for loopback and known users only."""
    return f"""\
server_name: ropewalk
listen: "{LOOPBACK}:{ports.nats}"
http: "{LOOPBACK}:{ports.nats_monitor}"
jetstream {{
  store_dir: "{layout.nats_store}"
  sync_interval: always
  max_memory_store: 64MB
  max_file_store: 100GB
}}
{users_config(accounts)}"""


def users_config(accounts: BusAccounts) -> str:
    """The part of a server's configuration that says who may connect and what they may do."""
    users = [{"nkey": key, **permissions(user)} for user, key in accounts.public_keys.items()]
    users += [
        {"user": user, "password": password, **permissions(user)} for user, password in accounts.passwords.items()
    ]
    listed = "\n".join(f"    {json.dumps(user)}" for user in users)
    return f"authorization {{\n  users: [\n{listed}\n  ]\n}}\n"


def permissions(user: str) -> dict[str, Any]:
    """The rights of a user as the server reads them. What is not listed is forbidden."""
    rights = rights_of(user)
    answers = {"allow_responses": {"max": 1, "expires": _ANSWER_WITHIN}} if rights.responds else {}
    allowed = {"publish": {"allow": rights.publish}, "subscribe": {"allow": rights.subscribe}}
    return {"permissions": {**allowed, **answers}}
