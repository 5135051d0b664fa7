"""FastStream's broker, for request and reply subscribers of a service, on the connection that the bus has."""

from collections.abc import Callable
from types import TracebackType

from faststream.nats import NatsBroker
from nats.aio.client import Client


class SharedBroker(NatsBroker):
    """It neither opens nor closes the connection: stages and consumers need it longer."""

    def __init__(self, connected: Callable[[], Client]) -> None:
        super().__init__(logger=None, apply_types=False)
        self._connected = connected

    async def _connect(self) -> Client:
        connection = self._connected()
        self.config.connect(connection)
        return connection

    async def stop(
        self,
        exc_type: type[BaseException] | None = None,
        exc_val: BaseException | None = None,
        exc_tb: TracebackType | None = None,
    ) -> None:
        """Stop the subscribers and let go of the connection."""
        self._connection = None
        await super().stop(exc_type, exc_val, exc_tb)
