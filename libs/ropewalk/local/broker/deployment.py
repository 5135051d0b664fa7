"""Keys, rights and certificates for a bus that runs in containers, each in a place of its own.

The certificate authority signs one certificate and is thrown away: nobody can make another one that clients of this
deployment would believe. The server's folder has no seed in it, and a seed is for one user.

A container reads these as another user than the one who made them. So the files may be read by anybody, and the folder
around them can be entered by its owner alone.
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
_FOR_CONTAINERS = 0o444
_CERTIFICATE = ("ca.pem", "server.key", "server.pem")  # of no use one without the others


class CertificateError(LocalError):
    """No certificate could be made."""


@dataclass(frozen=True)
class Deployment:
    """What there is, by folder or file."""

    server: Path
    seeds: Path
    authority: Path


def create_deployment(folder: Path, hosts: tuple[str, ...]) -> Deployment:
    """Make what is missing; keys and a certificate that are there stay. Raises CertificateError, OSError."""
    made = Deployment(folder / "server", folder / "seeds", folder / "server" / "ca.pem")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    for entered in (made.server, folder / "judges"):  # the latter is filled by hand; Docker would make it as root
        entered.mkdir(mode=0o755, exist_ok=True)
        entered.chmod(0o755)
    public_keys = ensure_keys(made.seeds, USERS)
    # Follows from the keys and from what this version of us lets its users do.
    write_private(made.server / "users.conf", users_config(BusAccounts(public_keys)).encode())
    if not all((made.server / part).exists() for part in _CERTIFICATE):
        _certify(made.server, hosts)
    for file in (*(seed_file(made.seeds, user) for user in USERS), *made.server.iterdir()):
        file.chmod(_FOR_CONTAINERS)
    return made


def _certify(server: Path, hosts: tuple[str, ...]) -> None:
    """ca.pem, server.pem and server.key. The server's name is checked by clients, and servers check each other's."""
    openssl = shutil.which("openssl")
    if openssl is None:
        raise CertificateError("the program openssl, which makes the certificate, is not installed")
    names = ",".join(f"{'IP' if host.replace('.', '').isdigit() else 'DNS'}:{host}" for host in hosts)
    with tempfile.TemporaryDirectory() as passing:
        authority = Path(passing) / "ca.key"
        extensions = Path(passing) / "extensions"
        request = Path(passing) / "request.pem"
        signed_there = Path(passing) / "server.pem"
        extensions.write_text(
            f"subjectAltName={names}\nbasicConstraints=critical,CA:FALSE\nextendedKeyUsage=serverAuth,clientAuth\n"
            "keyUsage=critical,digitalSignature\nauthorityKeyIdentifier=keyid\n"
        )
        for half in (server / "ca.pem", server / "server.key"):  # of one who was cut short
            half.unlink(missing_ok=True)
        named = ("-subj", "/CN=ropewalk bus authority", "-days", _DAYS, "-keyout", authority, "-out", server / "ca.pem")
        _run(openssl, "req", "-x509", *_KEY, *named, "-addext", "keyUsage=critical,keyCertSign")
        asked = ("-subj", f"/CN={hosts[0]}", "-keyout", server / "server.key", "-out", request)
        _run(openssl, "req", "-new", *_KEY, *asked)
        signed = ("-in", request, "-CA", server / "ca.pem", "-CAkey", authority, "-CAcreateserial", "-days", _DAYS)
        serial = ("-CAserial", Path(passing) / "serial")
        _run(openssl, "x509", "-req", *signed, *serial, "-extfile", extensions, "-out", signed_there)
        write_private(server / "server.pem", signed_there.read_bytes())  # last: with it the three are complete


def _run(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CertificateError(f"openssl refused to make the certificate: {done.stderr.strip().splitlines()[-1]}")
