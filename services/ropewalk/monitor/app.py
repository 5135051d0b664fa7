"""Puts the monitor together: sinks, watcher, projector, the handlers, the HTTP interface."""

import asyncio
import logging
from dataclasses import dataclass

from ropewalk.admin.contracts import SERVICE_USERS
from ropewalk.bus.bulk import address_of
from ropewalk.monitor import contract
from ropewalk.monitor.adapters.accounts import Account
from ropewalk.monitor.adapters.clickhouse import ClickHouse, engine_address, open_embedded, open_server
from ropewalk.monitor.adapters.deployment_gauges import DeploymentGauges
from ropewalk.monitor.adapters.embedded import EmbeddedEngine, ceilings
from ropewalk.monitor.adapters.facade import Facade, serve
from ropewalk.monitor.adapters.projections import LiveProjector
from ropewalk.monitor.adapters.readers import admit
from ropewalk.monitor.adapters.sink import Feed, Sink
from ropewalk.monitor.adapters.watcher import Watcher
from ropewalk.monitor.domain.rows import (
    event_rows,
    label_rows,
    request_rows,
    score_rows,
    signal_rows,
    train_step_rows,
)
from ropewalk.monitor.errors import StoreUnavailableError
from ropewalk.monitor.handlers import acknowledge, price_stage, rebaseline
from ropewalk.monitor.settings import MonitorSettings, Settings
from ropewalk.projections.asking import SUBJECT
from ropewalk.runtime.needs import why_no_answer
from ropewalk.runtime.service import Service
from ropewalk.status.asking import SUBJECT as STATUS
from ropewalk.status.desk import StatusDesk

logger = logging.getLogger(__name__)

REQUESTS = Feed(
    consumer=contract.REQUESTS,
    table="request",
    rows=request_rows,
    max_messages=20,  # of a hundred rows each: what a batch needs in memory is many times its size
)
STEPS = Feed(consumer=contract.STEPS, table="train_step", rows=train_step_rows)
SIGNALS = Feed(consumer=contract.SIGNALS, table="signal_state", rows=signal_rows)
SCORES = Feed(consumer=contract.SCORES, table="scored_item", rows=score_rows, max_messages=20)  # of up to 1,000 rows
LABELS = Feed(consumer=contract.LABELS, table="label_said", rows=label_rows)
EVENTS = Feed(consumer=contract.EVENTS, table="event", rows=event_rows)


@dataclass
class Watching:
    """The watcher, once it has found its place."""

    watcher: Watcher | None = None


def build(settings: Settings) -> Service:
    """The service, ready to run."""
    service = Service(contract.CONTRACT.service, settings)
    watching = Watching()
    service.on(contract.PRICE, lambda stage: price_stage(stage, service.bus))
    service.on(contract.ACKNOWLEDGE, lambda asked: acknowledge(asked, service.bus))
    service.on(contract.REBASELINE, lambda asked: rebaseline(asked, watching.watcher))
    service.reads(*contract.CONTRACT.tables)
    if url := settings.monitor.clickhouse_url:
        service.needs.add("clickhouse", lambda: why_no_answer("the ClickHouse server", url, "/ping"))
    service.background(lambda: keep_tables(service, settings, watching))
    projector = LiveProjector(settings.nats, settings.state_dir / "projections")
    service.broker.subscriber(f"{SUBJECT}.{{name}}", title=SUBJECT, queue="projector")(projector.answer)
    service.background(projector.run)
    desk = StatusDesk(address_of(settings.nats), SERVICE_USERS)
    service.background(DeploymentGauges(desk, projector).run)
    service.broker.subscriber(STATUS, title=STATUS, queue="status")(desk.answer)
    return service


async def keep_tables(service: Service, settings: Settings, watching: Watching) -> None:
    """Fill the tables, watch them and serve them until cancelled."""
    store = await _opened_store(settings)
    monitor = settings.monitor
    watcher = Watcher(store, service.bus, monitor.policy)
    requests = Sink(store, REQUESTS, after=watcher.advance)
    try:
        async with asyncio.TaskGroup() as tasks:
            for feed in (STEPS, SIGNALS, SCORES, LABELS, EVENTS):
                tasks.create_task(Sink(store, feed).run(service.bus, monitor.sink_wait_s))
            if not monitor.clickhouse_url:
                facade = _facade(settings)
                service.health.add(facade.slots.reason)
                tasks.create_task(serve(facade, monitor.host, monitor.port))
            await requests.patiently(watcher.restore)
            watching.watcher = watcher
            tasks.create_task(requests.run(service.bus, monitor.sink_wait_s))
    finally:
        await store.close()


def accounts(monitor: MonitorSettings) -> tuple[Account, ...]:
    """Who may use the HTTP interface."""
    named = (
        Account(user=monitor.user, password=monitor.token),
        Account(user=f"{monitor.user}_operator", password=monitor.operator_token, operator=True),
        Account(user=f"{monitor.user}_writer", password=monitor.writer_token, read_only=False),
    )
    everybody = (Account(user="default", password=""),) if monitor.anonymous else ()
    return (*(account for account in named if account.password), *everybody)


def _facade(settings: Settings) -> Facade:
    found = accounts(settings.monitor)
    if not found:
        logger.warning("nobody may use the ClickHouse interface: set ROPEWALK_MONITOR_TOKEN")
    memory_mb = settings.monitor.max_memory_mb
    engine = EmbeddedEngine(engine_address(settings.data_dir, memory_mb), settings.monitor.query_seconds, memory_mb)
    return Facade(engine, found)


async def _opened_store(settings: Settings) -> ClickHouse:
    monitor = settings.monitor
    if not monitor.clickhouse_url:
        return await open_embedded(settings.data_dir, monitor.max_memory_mb)
    while True:
        try:
            return await _with_readers(await open_server(monitor.clickhouse_url), monitor)
        except StoreUnavailableError as error:
            logger.warning("waiting for the ClickHouse server: %s", error)
            await asyncio.sleep(2.0)


async def _with_readers(store: ClickHouse, monitor: MonitorSettings) -> ClickHouse:
    try:
        await admit(store, accounts(monitor), ceilings(monitor.query_seconds, monitor.max_memory_mb))
    except StoreUnavailableError:
        await store.close()  # or it would be left open at every try
        raise
    return store
