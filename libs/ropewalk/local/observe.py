"""Adds what only the machine of an embedded stack sees to what its bus tells: processes, disks, the server's health."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from ropewalk.bus.wire import Address
from ropewalk.events.foreign import one_line
from ropewalk.local.broker.health import health, store
from ropewalk.local.disks import disks_of
from ropewalk.local.layout import Layout
from ropewalk.local.state import StackState
from ropewalk.status.look import look
from ropewalk.status.seen import BrokerView, Seen

_TIMEOUT_S = 0.7


def observe(layout: Layout, state: StackState, bus: Address, system: Address, services: tuple[str, ...]) -> Seen:
    """Ask everything at once; takes about a second at most. `system`: as whom the server tells about itself."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        asking = pool.submit(_server, system)
        seen = look(bus, services)
    server, held = asking.result(), seen.broker
    broker = replace(server, streams=held.streams, num_dead_letters=held.num_dead_letters)
    wanted = sum(stream.max_bytes - stream.num_bytes for stream in broker.streams)
    disks = tuple(disks_of(layout, state.objects_url, wanted))
    return replace(seen, broker=broker, disks=disks, processes=state.processes)


def _server(system: Address) -> BrokerView:
    """How nats-server is and how much it may store."""
    try:
        ailment, (stored, limit) = health(system, _TIMEOUT_S), store(system, _TIMEOUT_S)
    except (OSError, ValueError):
        return BrokerView()
    return BrokerView(answers=True, error=one_line(ailment, 400), stored_bytes=stored, max_store_bytes=limit)
