"""The secrets of one stack: made at the first start, kept in a file only its owner may read."""

import os
import secrets
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

_KEY_BYTES = 24


def _secret() -> str:
    return secrets.token_hex(_KEY_BYTES)


class Credentials(BaseModel):
    """Hexadecimal secrets, safe in URLs, headers and configuration files without quoting."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    nats_password: str = Field(default_factory=_secret, repr=False, description="of the operator, for plain clients")
    system_password: str = Field(default_factory=_secret, repr=False, description="of the server's own account")
    demo_key: str = Field(default_factory=lambda: f"rw-demo-{_secret()}", repr=False)
    internal_key: str = Field(default_factory=lambda: f"rw-internal-{_secret()}", repr=False)
    clickhouse_token: str = Field(default_factory=_secret, repr=False, description="to hand to people")
    clickhouse_operator_token: str = Field(default_factory=_secret, repr=False, description="of the command line")
    ray_token: str = Field(default_factory=_secret, repr=False)


def read_credentials(path: Path) -> Credentials | None:
    """The secrets of a state folder, or None if it never ran."""
    if not path.exists():
        return None
    return Credentials.model_validate_json(path.read_bytes())


def ensure_credentials(path: Path) -> Credentials:
    """Read the secrets; make what is missing and write it with mode 0600. Raises OSError."""
    known = read_credentials(path)
    credentials = known or Credentials()
    body = credentials.model_dump_json(indent=1).encode() + b"\n"
    if known is None or path.read_bytes() != body:
        write_private(path, body)
    return credentials


def write_private(path: Path, body: bytes) -> None:
    """Replace a file atomically; at no moment can others read it. Raises OSError."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
