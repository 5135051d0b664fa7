"""What a stack in containers is told (`.env`) and what a person exports to talk to it (`client.env`).

A line of `.env` that is there stays as it is: it may be the only place that knows the password of a database. The file
for clients follows from it and is written anew.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from ropewalk.admin.access import OPERATOR
from ropewalk.local.broker.deployment import Deployment
from ropewalk.local.broker.keys import seed_file
from ropewalk.local.credentials import write_private
from ropewalk.local.ports import LOOPBACK, Ports

_USUAL = Ports()
# Published on loopback, in this order from `ports_from` on.
PORTS = {
    "ROPEWALK_PORT_NATS": _USUAL.nats,
    "ROPEWALK_PORT_OPENAI": _USUAL.openai,
    "ROPEWALK_PORT_TRITON_HTTP": _USUAL.triton_http,
    "ROPEWALK_PORT_TRITON_GRPC": _USUAL.triton_grpc,
    "ROPEWALK_PORT_CLICKHOUSE": _USUAL.clickhouse_http,
    "ROPEWALK_PORT_OBJECTS": 8333,
    "ROPEWALK_PORT_OTLP": 4318,
    "ROPEWALK_PORT_METRICS": 8889,
    "ROPEWALK_PORT_PROMETHEUS": 9090,
    "ROPEWALK_PORT_GRAFANA": 3000,
}
SECRETS = (
    "ROPEWALK_SERVING_DEMO_KEY",
    "ROPEWALK_SERVING_INTERNAL_KEY",
    "RAY_AUTH_TOKEN",
    "CLICKHOUSE_PASSWORD",  # of the monitor, who writes
    "ROPEWALK_MONITOR_TOKEN",  # of people, who read the tables
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "GF_SECURITY_ADMIN_PASSWORD",
)
_SECRET_BYTES = 24


@dataclass(frozen=True)
class Published:
    """What is a person's to choose: the folder of the keys, the stack's name, the first port (0: the usual ones)."""

    keys: Path
    project: str
    ports_from: int


def ensure_environment(file: Path, wanted: Published) -> dict[str, str]:
    """Add the lines that are missing; gives all of them. Raises OSError."""
    text = file.read_text() if file.exists() else ""
    known = _lines(text)
    first, keys = wanted.ports_from, wanted.keys
    lines = {
        "COMPOSE_PROJECT_NAME": wanted.project,
        "ROPEWALK_KEYS": str(keys) if keys.is_absolute() else f"./{keys}",
        **{name: str(first + place if first else usual) for place, (name, usual) in enumerate(PORTS.items())},
        **{name: secrets.token_hex(_SECRET_BYTES) for name in SECRETS},
    }
    missing = {name: value for name, value in lines.items() if name not in known}
    if missing:
        begun = text if not text or text.endswith("\n") else f"{text}\n"
        write_private(file, (begun + "".join(f"{name}={value}\n" for name, value in missing.items())).encode())
    return known | missing


def write_client_environment(file: Path, told: Mapping[str, str], keys: Deployment) -> None:
    """What `ropewalk`, the SDK and the clients of other makes read, for a shell to source. Raises OSError."""
    address = {name: f"{LOOPBACK}:{told[name]}" for name in PORTS}
    nats, openai = f"tls://{address['ROPEWALK_PORT_NATS']}", f"http://{address['ROPEWALK_PORT_OPENAI']}/v1"
    seed, authority = str(seed_file(keys.seeds, OPERATOR).absolute()), str(keys.authority.absolute())
    lines = {
        "ROPEWALK_COMPOSE_PROJECT": told["COMPOSE_PROJECT_NAME"],
        "ROPEWALK_NATS_URL": nats,
        "ROPEWALK_NATS_USER": OPERATOR,
        "ROPEWALK_NATS_NKEY_FILE": seed,
        "ROPEWALK_NATS_TLS_CA": authority,
        "ROPEWALK_CLIENT_OPENAI_URL": openai,
        "ROPEWALK_CLIENT_API_KEY": told["ROPEWALK_SERVING_DEMO_KEY"],
        "ROPEWALK_CLIENT_CLICKHOUSE_URL": f"http://{address['ROPEWALK_PORT_CLICKHOUSE']}",
        "ROPEWALK_CLIENT_CLICKHOUSE_TOKEN": told["ROPEWALK_MONITOR_TOKEN"],
        "ROPEWALK_OBJECTS_URL": "s3://ropewalk",
        "ROPEWALK_OBJECTS_ENDPOINT": f"http://{address['ROPEWALK_PORT_OBJECTS']}",
        "AWS_ACCESS_KEY_ID": told["AWS_ACCESS_KEY_ID"],
        "AWS_SECRET_ACCESS_KEY": told["AWS_SECRET_ACCESS_KEY"],
        "AWS_REGION": "us-east-1",
        "OPENAI_BASE_URL": openai,
        "OPENAI_API_KEY": told["ROPEWALK_SERVING_DEMO_KEY"],
        "NATS_URL": nats,  # these three: the program `nats`
        "NATS_NKEY": seed,
        "NATS_CA": authority,
    }
    write_private(file, "".join(f"export {name}={quote(value)}\n" for name, value in lines.items()).encode())


def _lines(text: str) -> dict[str, str]:
    """Name -> value of every assignment, as compose reads it; quotes around a value are not part of it."""
    pairs = (line.strip().split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return {name.strip(): value.strip().strip("'\"") for name, value in pairs}
