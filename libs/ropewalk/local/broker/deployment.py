"""Keys, rights and certificates for a bus that runs in containers, each in a place of its own.

The certificate authority signs one certificate and is thrown away: nobody can make another one that clients of this
deployment would believe. The server's folder has no seed in it, and a seed is for one user.
"""

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ropewalk.admin.access import USERS
from ropewalk.local.broker.config import BusAccounts, users_config
from ropewalk.local.broker.keys import ensure_keys, seed_file
from ropewalk.local.credentials import write_private
from ropewalk.local.errors import LocalError

_DAYS = "825"  # what clients of other makes accept at most
_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


class CertificateError(LocalError):
    """No certificate could be made."""


@dataclass(frozen=True)
class Deployment:
    """What was made, by folder or file."""

    server: Path
    seeds: Path
    environment: Path
    authority: Path


def create_deployment(folder: Path, hosts: tuple[str, ...]) -> Deployment:
    """Make everything in a new folder. Raises CertificateError, OSError."""
    if folder.exists():
        raise CertificateError(f"{folder} exists: choose a new folder, or remove it to start with new keys")
    openssl = shutil.which("openssl")
    if openssl is None:
        raise CertificateError("the program openssl, which makes the certificate, is not installed")
    made = Deployment(folder / "server", folder / "seeds", folder / "seeds.env", folder / "server" / "ca.pem")
    made.server.mkdir(parents=True, mode=0o700)
    folder.chmod(0o700)
    public_keys = ensure_keys(made.seeds, USERS)
    (made.server / "users.conf").write_text(users_config(BusAccounts(public_keys)))
    lines = [f"{seed_variable(user)}={seed_file(made.seeds, user).read_text().strip()}\n" for user in USERS]
    write_private(made.environment, "".join(lines).encode())
    _certify(openssl, made.server, hosts)
    return made


def seed_variable(user: str) -> str:
    """The name of the line of a user in the .env file."""
    return f"NATS_SEED_{user.upper().replace('-', '_')}"


def _certify(openssl: str, server: Path, hosts: tuple[str, ...]) -> None:
    """ca.pem, server.pem and server.key. The server's name is checked by clients, and servers check each other's."""
    names = ",".join(f"{'IP' if host.replace('.', '').isdigit() else 'DNS'}:{host}" for host in hosts)
    with tempfile.TemporaryDirectory() as passing:
        authority = Path(passing) / "ca.key"
        extensions = Path(passing) / "extensions"
        request = Path(passing) / "request.pem"
        extensions.write_text(
            f"subjectAltName={names}\nbasicConstraints=critical,CA:FALSE\nextendedKeyUsage=serverAuth,clientAuth\n"
            "keyUsage=critical,digitalSignature\nauthorityKeyIdentifier=keyid\n"
        )
        named = ("-subj", "/CN=ropewalk bus authority", "-days", _DAYS, "-keyout", authority, "-out", server / "ca.pem")
        _run(openssl, "req", "-x509", *_KEY, *named, "-addext", "keyUsage=critical,keyCertSign")
        asked = ("-subj", f"/CN={hosts[0]}", "-keyout", server / "server.key", "-out", request)
        _run(openssl, "req", "-new", *_KEY, *asked)
        signed = ("-in", request, "-CA", server / "ca.pem", "-CAkey", authority, "-CAcreateserial", "-days", _DAYS)
        serial = ("-CAserial", Path(passing) / "serial")
        _run(openssl, "x509", "-req", *signed, *serial, "-extfile", extensions, "-out", server / "server.pem")
    (server / "server.key").chmod(0o600)
    for public in ("ca.pem", "server.pem", "users.conf"):  # containers read them as another user
        (server / public).chmod(0o644)


def _run(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CertificateError(f"openssl refused to make the certificate: {done.stderr.strip().splitlines()[-1]}")
