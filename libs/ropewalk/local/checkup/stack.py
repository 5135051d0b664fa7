"""What is wrong with a stack, asked with the settings of a client: the same questions wherever it runs."""

import asyncio
import json
import socket
import ssl
import time
from collections.abc import Iterator
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpx

from ropewalk.admin.topology import drift
from ropewalk.bus.bulk import address_of
from ropewalk.bus.servers import servers_of
from ropewalk.bus.wire import Wire
from ropewalk.client.endpoints import query
from ropewalk.client.errors import EndpointRefusedError, NotKnownError
from ropewalk.client.settings import ClientSettings
from ropewalk.events.foreign import one_line
from ropewalk.local.checkup.findings import Check, Remark
from ropewalk.local.names import SERVICES
from ropewalk.local.upgrading import our_release
from ropewalk.runtime.settings import StorageSettings
from ropewalk.status.asking import Status
from ropewalk.status.problems import EARLY
from ropewalk.status.seen import Disk
from ropewalk.storage.connect import StoreAddress
from ropewalk.storage.probing import why_unwell

_TIMEOUT_S = 3.0
_SKEW_S = 2.0
_WARNED_DAYS = 30  # before a certificate ends
_MOST_TOLD = 3
_ROOM_BYTES = 10e9  # on a large disk a small share is room enough
_APPLY = "`ropewalk bus apply` with the supervisor's key, or restart the stack, which does it"


def stack_checks(settings: ClientSettings) -> list[Check]:
    """The checks that need addresses and keys only."""
    bus = "start the bus, or correct ROPEWALK_NATS_URL, _USER, _NKEY_FILE and _TLS_CA (`keys/client.env` has them)"
    sql = "start ClickHouse, or correct ROPEWALK_CLIENT_CLICKHOUSE_URL and _TOKEN"
    http = "start serving, or correct ROPEWALK_CLIENT_OPENAI_URL and _API_KEY"
    store = "start the object store, or correct ROPEWALK_OBJECTS_URL, _ENDPOINT and the AWS variables"
    checks = [
        Check(name="bus", ask=lambda: _bus(settings), remedy=bus),
        Check(name="streams", ask=lambda: _streams(settings), remedy=bus),
        Check(name="tables", ask=lambda: _tables(settings), remedy=sql),
        Check(name="endpoint", ask=lambda: _endpoint(settings), remedy=http),
        Check(name="objects", ask=lambda: _objects(settings, store), remedy=store),
    ]
    if settings.nats.url.startswith("tls://"):
        renew = "renew it: `ropewalk keys create` in a new folder, then restart the bus"
        checks.append(Check(name="certificate", ask=lambda: _certificate(settings, renew), remedy=bus))
    return checks


def status_findings(status: Status) -> Iterator[Remark]:
    """What `ropewalk status` says, and whether the services are of the version of this program."""
    for problem in (each for each in status.problems if each.kind != "broker_away"):  # there is a check for that
        yield Remark(check="status", what=problem.what, remedy=problem.remedy)
    if not status.problems:
        yield Remark(check="status", what=f"all {len(SERVICES)} services are ready, nothing waits, no letter, no alarm")
    ours = version("ropewalk")
    theirs = {answer.version or "before 0.2" for answer in status.seen.services if answer.answered}
    if theirs and theirs != {ours}:
        what = f"the services are of version {', '.join(sorted(theirs))}, this command is {ours}"
        yield Remark(check="version", what=what, remedy="`ropewalk upgrade` says how both become the same")


def disk_findings(disks: tuple[Disk, ...]) -> Iterator[Remark]:
    """How much room there is where the stack writes."""
    for disk in disks:
        used = 1 - disk.free / max(1, disk.total)
        what = f"{disk.holds}: {used:.0%} of {disk.total / 1e9:.1f} GB used"
        yield Remark(
            check="room", what=what, remedy="make room there" if used >= EARLY and disk.free < _ROOM_BYTES else ""
        )


def _bus(settings: ClientSettings) -> Iterator[Remark]:
    """Whether we get in, may look, and agree about the time."""
    began = time.time()
    with Wire(address_of(settings.nats), _TIMEOUT_S) as wire:
        told = wire.request("$JS.API.STREAM.INFO.CONTROL", b"{}")
    how = "with TLS" if settings.nats.url.startswith("tls://") else "without TLS"
    who = settings.nats.user or "the user of the URL"
    yield Remark(check="bus", what=f"the bus at {settings.nats.address} lets {who} in {how}, who may look")
    answer = json.loads(told.body)
    if "ts" in answer:
        skew_s = abs(datetime.fromisoformat(answer["ts"]).timestamp() - (began + time.time()) / 2)
        remedy = "set both clocks by NTP: costs, alarms and drills compare times"
        what = f"the clock of the bus and ours differ by {skew_s:.1f} s"
        yield Remark(check="clock", what=what, remedy=remedy if skew_s > _SKEW_S else "")


def _streams(settings: ClientSettings) -> Iterator[Remark]:
    with Wire(address_of(settings.nats), _TIMEOUT_S):  # a bus that is away is told at once; the next line would wait
        pass
    # How many copies a deployment keeps is its own choice.
    found = [each for each in asyncio.run(drift(settings.nats)) if each.field != "num_replicas"]
    told = "; ".join(map(str, found[:_MOST_TOLD])) + " …" * (len(found) > _MOST_TOLD)
    if found:
        yield Remark(check="streams", what=f"{len(found)} differences from this version: {told}", remedy=_APPLY)
    else:
        yield Remark(check="streams", what="every stream and consumer is as this version wants it")


def _tables(settings: ClientSettings) -> Iterator[Remark]:
    try:
        present, known = tables_version(settings), our_release().tables
    except NotKnownError:
        what = f"ClickHouse at {settings.clickhouse_url} refuses the password of {settings.clickhouse_user}"
        remedy = "set ROPEWALK_CLIENT_CLICKHOUSE_TOKEN (`keys/client.env` has it)"
        yield Remark(check="tables", what=what, remedy=remedy)
        return
    what = f"ClickHouse answers, the tables have version {present} of {known}"
    remedy = "start the monitor of this version, which brings them up to date"
    if present > known:
        remedy = "use the newer release that made them; there is no way back"
    yield Remark(check="tables", what=what, remedy=remedy if present != known else "")


def tables_version(settings: ClientSettings) -> int:
    """The migrations that a database has seen, 0 if none. Raises ClientError."""
    try:
        return int(asyncio.run(query(settings, "SELECT max(version) FROM ropewalk.schema_version")).rows[0][0])
    except EndpointRefusedError as error:
        if "UNKNOWN_TABLE" in str(error) or "UNKNOWN_DATABASE" in str(error):
            return 0
        raise


def _endpoint(settings: ClientSettings) -> Iterator[Remark]:
    url = f"{settings.openai_url}/models"
    key = {"authorization": f"Bearer {settings.api_key}"} if settings.api_key else {}
    try:
        answer = httpx.get(url, headers=key, timeout=_TIMEOUT_S, trust_env=False)
    except httpx.TransportError as error:
        raise OSError(f"the endpoint at {settings.openai_url} does not answer ({error})") from None
    if answer.status_code == httpx.codes.OK:
        models = len(answer.json().get("data", []))
        yield Remark(check="endpoint", what=f"the endpoint answers with {models} models")
        return
    what, remedy = f"the endpoint at {settings.openai_url} answers {answer.status_code}", "read the log of serving"
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        what, remedy = f"{what}: it does not know the key", "set ROPEWALK_CLIENT_API_KEY to a key of serving"
    yield Remark(check="endpoint", what=what, remedy=remedy)


def _objects(settings: ClientSettings, remedy: str) -> Iterator[Remark]:
    storage = StorageSettings()
    url = storage.url or settings.objects_url
    if not storage.url and not Path(unquote(urlsplit(url).path)).is_dir():
        yield Remark(check="objects", what="no object store is named here (ROPEWALK_OBJECTS_URL), so none is looked at")
        return
    said = one_line(why_unwell(StoreAddress(url=url, endpoint=storage.endpoint)), 400)
    yield Remark(check="objects", what=said or f"the object store {url} can be used", remedy=remedy if said else "")


def _certificate(settings: ClientSettings, remedy: str) -> Iterator[Remark]:
    with Wire(address_of(settings.nats), _TIMEOUT_S):
        pass
    context = ssl.create_default_context(cafile=settings.nats.tls_ca)
    for parts in map(urlsplit, servers_of(settings.nats.url)):
        try:
            with (
                socket.create_connection((parts.hostname or "", parts.port or 4222), _TIMEOUT_S) as plain,
                context.wrap_socket(plain, server_hostname=parts.hostname) as secure,
            ):
                ends = str((secure.getpeercert() or {}).get("notAfter", ""))
        except OSError as error:
            what = f"the bus at {parts.hostname} shows no certificate: {error}"
            yield Remark(check="certificate", what=what, remedy="start it; the other servers go on meanwhile")
            continue
        days = (ssl.cert_time_to_seconds(ends) - time.time()) / 86400
        what = f"the certificate of the bus at {parts.hostname} ends in {days:.0f} days ({ends})"
        yield Remark(check="certificate", what=what, remedy=remedy if days < _WARNED_DAYS else "")
