"""Brings a server in line with `events.streams` and the contracts of the services, and tells where it is not.

One owner runs this; services only bind. Nothing is ever deleted here: what is unknown is reported, because it may
hold facts.
"""

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    DiscardPolicy,
    StorageType,
    StoreCompression,
    StreamConfig,
    StreamInfo,
    StreamSource,
)
from nats.js.errors import APIError, NotFoundError

from ropewalk.admin.contracts import CONSUMERS
from ropewalk.bus.connection import connect
from ropewalk.bus.errors import BusError
from ropewalk.bus.lag import all_consumers
from ropewalk.bus.settings import NatsSettings
from ropewalk.events.consumers import ConsumerSpec
from ropewalk.events.streams import DAY_S, LEASE_STREAM, STREAMS, StreamSpec

_READ_DIRECTLY = {"allow_direct": True}  # a reader asks any copy, and needs no consumer


@dataclass(frozen=True)
class Difference:
    """One way in which the server is not as declared. `field` is empty when the whole thing is missing or unknown."""

    kind: str
    name: str
    field: str
    wanted: str
    actual: str

    def __str__(self) -> str:
        where = f"{self.kind} {self.name}"
        return f"{where}: {self.field} is {self.actual}, not {self.wanted}" if self.field else f"{where}: {self.actual}"


async def apply_topology(settings: NatsSettings, consumers: Sequence[ConsumerSpec] = CONSUMERS) -> list[str]:
    """Create or update every stream, the lease bucket and the consumers. One line per change, none when all is there.

    Raises BusError for a change that the server refuses.
    """
    async with _context(settings) as context:
        lines = [await _apply_stream(context, config) for config in _stream_configs(settings)]
        lines += [await _apply_consumer(context, spec) for spec in consumers]
    return [line for line in lines if line]


async def drift(settings: NatsSettings) -> list[Difference]:
    """Every difference between the declared topology and the server: missing, changed, unknown."""
    async with _context(settings) as context:
        streams = {info.config.name: info for info in await _all_streams(context)}
        found = [
            difference
            for config in _stream_configs(settings)
            for difference in _stream_differences(config, streams.get(config.name))
        ]
        known = {config.name for config in _stream_configs(settings)}
        found += [Difference("stream", name, "", "absent", "unknown") for name in sorted(streams.keys() - known)]
        for name in sorted(streams.keys() & known):
            wanted = {spec.durable: spec for spec in CONSUMERS if spec.stream == name}
            present = {info.config.durable_name: info.config for info in await all_consumers(context, name)}
            for durable, spec in wanted.items():
                found += _consumer_differences(spec, present.get(durable))
            strangers = sorted(durable for durable in present if durable and durable not in wanted)
            found += [Difference("consumer", f"{name}/{durable}", "", "absent", "unknown") for durable in strangers]
    return found


@contextlib.asynccontextmanager
async def _context(settings: NatsSettings) -> AsyncIterator[JetStreamContext]:
    connection = await connect(settings, "bus-apply")
    try:
        yield connection.jetstream(timeout=20)
    finally:
        await connection.close()


async def _all_streams(context: JetStreamContext) -> list[StreamInfo]:
    found: list[StreamInfo] = []
    while page := await context.streams_info(offset=len(found)):
        found += page
    return found


def _stream_configs(settings: NatsSettings) -> list[StreamConfig]:
    configs = [*map(_stream_config, STREAMS), lease_config()]
    return [config.evolve(num_replicas=settings.replicas or None) for config in configs]


def _stream_config(spec: StreamSpec) -> StreamConfig:
    return StreamConfig(
        name=spec.name,
        subjects=list(spec.subjects) or None,
        discard=DiscardPolicy(spec.discard),
        max_age=spec.max_age_s,
        max_bytes=spec.max_bytes or -1,  # -1 is no limit
        max_msgs=-1,
        max_msgs_per_subject=spec.max_per_subject or -1,
        duplicate_window=0 if spec.mirror_of else spec.duplicate_window_s,
        storage=StorageType.FILE,
        # Seen once, after a kill of nats-server 2.15.1: a compressed block that it could neither read nor mend. That
        # copy of the stream stalled every consumer that it led.
        compression=StoreCompression.NONE,
        mirror=StreamSource(name=spec.mirror_of) if spec.mirror_of else None,
        allow_atomic=spec.atomic or None,
        allow_msg_ttl=spec.message_ttl or None,
        allow_msg_schedules=spec.schedules or None,
        allow_rollup_hdrs=spec.schedules,  # re-arming a timer replaces it
        deny_delete=spec.atomic,  # the log: nobody takes a fact out of it
        **_READ_DIRECTLY,
    )


def lease_config() -> StreamConfig:
    """A key-value bucket with one revision per key, so that a TTL is never raised to the marker's."""
    return StreamConfig(
        name=LEASE_STREAM,
        subjects=["$KV.lease.>"],
        discard=DiscardPolicy.NEW,
        max_msgs_per_subject=1,  # a lease has no history
        max_bytes=64 * 1024**2,
        storage=StorageType.FILE,
        allow_msg_ttl=True,
        subject_delete_marker_ttl=DAY_S / 24,  # seconds: a lease that ran out is still told of an hour later
        allow_rollup_hdrs=True,
        deny_delete=True,
        duplicate_window=120.0,
        **_READ_DIRECTLY,
    )


def _consumer_config(spec: ConsumerSpec) -> ConsumerConfig:
    return ConsumerConfig(
        name=spec.durable,
        durable_name=spec.durable,
        deliver_policy=DeliverPolicy(spec.deliver),
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=spec.ack_wait_s,
        max_deliver=spec.max_deliver,
        max_ack_pending=spec.max_ack_pending,
        filter_subjects=list(spec.subjects),
    )


async def _apply_stream(context: JetStreamContext, wanted: StreamConfig) -> str:
    try:
        current = await context.stream_info(wanted.name)
    except NotFoundError:
        await context.add_stream(wanted)
        return f"created stream {wanted.name}"
    differences = _stream_differences(wanted, current)
    if not differences:
        return ""
    try:
        copies = wanted.num_replicas or current.config.num_replicas  # whoever says nothing about it takes none away
        await context.update_stream(wanted.evolve(num_replicas=copies))
    except APIError as error:
        raise _refused(differences, error) from None
    return f"updated stream {wanted.name}: {_fields(differences)}"


async def _apply_consumer(context: JetStreamContext, spec: ConsumerSpec) -> str:
    try:
        current = (await context.consumer_info(spec.stream, spec.durable)).config
    except NotFoundError:
        current = None
    differences = _consumer_differences(spec, current)
    if not differences:
        return ""
    try:
        await context.add_consumer(spec.stream, _consumer_config(spec))
    except APIError as error:
        raise _refused(differences, error) from None
    name = f"consumer {spec.stream}/{spec.durable}"
    return f"created {name}" if current is None else f"updated {name}: {_fields(differences)}"


def _refused(differences: list[Difference], error: APIError) -> BusError:
    return BusError(
        f"the server refuses a change ({error.description}): {'; '.join(map(str, differences))}; "
        "remove it with the nats CLI and apply again, or take the change back"
    )


def _fields(differences: list[Difference]) -> str:
    return ", ".join(difference.field for difference in differences)


def _stream_differences(wanted: StreamConfig, current: StreamInfo | None) -> list[Difference]:
    if current is None:
        return [Difference("stream", wanted.name, "", "present", "missing")]
    # The server completes these by itself, so its answer is never what was asked for.
    ignored = {"mirror", "duplicate_window"} if wanted.mirror else {"mirror"}
    given = {name: value for name, value in vars(wanted).items() if value is not None and name not in ignored}
    return _changed("stream", wanted.name, given, current.config)


def _consumer_differences(spec: ConsumerSpec, current: ConsumerConfig | None) -> list[Difference]:
    name = f"{spec.stream}/{spec.durable}"
    if current is None:
        return [Difference("consumer", name, "", "present", "missing")]
    filters = list(current.filter_subjects or filter(None, [current.filter_subject]))
    given = {
        "deliver_policy": spec.deliver,
        "ack_policy": AckPolicy.EXPLICIT,
        "ack_wait": spec.ack_wait_s,
        "max_deliver": spec.max_deliver,
        "max_ack_pending": spec.max_ack_pending,
        "filter_subjects": sorted(spec.subjects),
    }
    return _changed("consumer", name, given, current.evolve(filter_subjects=sorted(filters)))


def _changed(kind: str, name: str, given: dict[str, Any], current: Any) -> list[Difference]:
    return [
        Difference(kind, name, field, _shown(wanted), _shown(getattr(current, field)))
        for field, wanted in sorted(given.items())
        if getattr(current, field) != wanted
    ]


def _shown(value: Any) -> str:
    value = getattr(value, "value", value)
    return ",".join(value) if isinstance(value, list) else str(value)
