"""Brings the streams on a server in line with `events.streams`. One owner runs this; services only bind."""

from typing import Any

import nats
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, StorageType, StoreCompression, StreamConfig, StreamSource
from nats.js.errors import NotFoundError

from ropewalk.events.streams import DAY_S, LEASE_STREAM, STREAMS, StreamSpec
from ropewalk.runtime.connection import connect_options
from ropewalk.runtime.settings import NatsSettings

_CONTROL_EXTRAS = {"allow_direct": True}


async def apply_topology(settings: NatsSettings) -> list[str]:
    """Create or update every stream and the lease bucket. Returns one line per change, none when all is in place."""
    connection = await nats.connect(**connect_options(settings, "bus-apply"))
    try:
        context = connection.jetstream(timeout=20)
        configs = [*map(_stream_config, STREAMS), _lease_config()]
        lines = [await _apply(context, config.evolve(num_replicas=settings.replicas)) for config in configs]
    finally:
        await connection.close()
    return [line for line in lines if line]


def _stream_config(spec: StreamSpec) -> StreamConfig:
    return StreamConfig(
        name=spec.name,
        subjects=list(spec.subjects) or None,
        discard=DiscardPolicy(spec.discard),
        max_age=spec.max_age_s,
        max_bytes=spec.max_bytes or -1,
        max_msgs=-1,
        duplicate_window=0 if spec.mirror_of else spec.duplicate_window_s,
        storage=StorageType.FILE,
        compression=StoreCompression.S2,
        mirror=StreamSource(name=spec.mirror_of) if spec.mirror_of else None,
        allow_atomic=spec.atomic or None,
        allow_msg_ttl=spec.message_ttl or None,
        deny_delete=spec.atomic,
        **_CONTROL_EXTRAS,
    )


def _lease_config() -> StreamConfig:
    """A key-value bucket with one revision per key, so that a TTL is never raised to the marker's."""
    return StreamConfig(
        name=LEASE_STREAM,
        subjects=["$KV.lease.>"],
        discard=DiscardPolicy.NEW,
        max_msgs_per_subject=1,
        max_bytes=64 * 1024**2,
        storage=StorageType.FILE,
        allow_msg_ttl=True,
        subject_delete_marker_ttl=DAY_S / 24,
        allow_rollup_hdrs=True,
        deny_delete=True,
        duplicate_window=120.0,
        **_CONTROL_EXTRAS,
    )


async def _apply(context: JetStreamContext, wanted: StreamConfig) -> str:
    try:
        current = (await context.stream_info(wanted.name)).config
    except NotFoundError:
        await context.add_stream(wanted)
        return f"created stream {wanted.name}"
    changed = [name for name, value in _given(wanted).items() if getattr(current, name) != value]
    if not changed:
        return ""
    await context.update_stream(wanted)
    return f"updated stream {wanted.name}: {', '.join(sorted(changed))}"


def _given(config: StreamConfig) -> dict[str, Any]:
    ignored = {"mirror", "duplicate_window"} if config.mirror else {"mirror"}
    return {name: value for name, value in vars(config).items() if value is not None and name not in ignored}
