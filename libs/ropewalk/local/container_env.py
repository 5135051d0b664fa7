"""What a stack in containers is told (`.env`) and what a person exports to talk to it (`client.env`).

A line of `.env` that is there stays as it is: it may be the only place that knows the password of a database. The file
for clients follows from it and is written anew.
"""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from ropewalk.admin.access import OPERATOR
from ropewalk.local.broker.deployment import Deployment
from ropewalk.local.broker.keys import seed_file
from ropewalk.local.credentials import write_private
from ropewalk.local.errors import LocalError
from ropewalk.local.ports import LOOPBACK, Ports

USUAL_PROJECT = "ropewalk"
_USUAL = Ports()
# Name, then either a quote and what it encloses, or everything else.
_LINE = re.compile(
    r"""^[ \t]*(?:export[ \t]+)?(\w+)[ \t]*=(?:[ \t]*(['"])(.*?)\2[ \t]*(?:[ \t]#.*)?\r?$|(.*)$)""", re.MULTILINE
)
_COMMENT = re.compile(r"\s+#.*")
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
    "ROPEWALK_PORT_REVIEW": _USUAL.review,
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


class EnvironmentFileError(LocalError):
    """A `.env` cannot be read."""


@dataclass(frozen=True)
class Published:
    """What is a person's to choose: the folder of the keys, the stack's name, the first port (0: the usual ones)."""

    keys: Path
    project: str
    ports_from: int


def ensure_environment(file: Path, wanted: Published) -> dict[str, str]:
    """Add the lines that are missing; gives all of them. Raises EnvironmentFileError, OSError."""
    text = _text(file) if file.exists() else ""
    known, keys = _lines(text), wanted.keys
    lines = {
        "COMPOSE_PROJECT_NAME": wanted.project,
        "ROPEWALK_KEYS": str(keys) if keys.is_absolute() else f"./{keys}",
        **_ports(wanted.ports_from),
        **{name: secrets.token_hex(_SECRET_BYTES) for name in SECRETS},
    }
    missing = {name: value for name, value in lines.items() if name not in known}
    if missing:
        begun = text if not text or text.endswith("\n") else f"{text}\n"
        write_private(file, (begun + "".join(f"{name}={value}\n" for name, value in missing.items())).encode())
    return known | missing


def passed_over(told: Mapping[str, str], wanted: Published) -> dict[str, str]:
    """The lines that say otherwise than what was asked for, since they were there before."""
    project = {"COMPOSE_PROJECT_NAME": wanted.project} if wanted.project != USUAL_PROJECT else {}
    asked = project | (_ports(wanted.ports_from) if wanted.ports_from else {})
    return {name: told[name] for name, value in asked.items() if told[name] != value}


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
        "ROPEWALK_CLIENT_REVIEW_URL": f"http://{address['ROPEWALK_PORT_REVIEW']}",
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
    """Name -> value of every assignment, as compose reads it: without `export`, quotes, what follows a ` #`."""
    return {found[1]: found[3] if found[2] else _COMMENT.sub("", found[4]).strip() for found in _LINE.finditer(text)}


def _ports(first: int) -> dict[str, str]:
    return {name: str(first + place if first else usual) for place, (name, usual) in enumerate(PORTS.items())}


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise EnvironmentFileError(f"{file} is not UTF-8 in line {line}: write that line anew") from None
