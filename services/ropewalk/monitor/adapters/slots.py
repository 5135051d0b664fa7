"""Who may have the engine now: a few statements at a time, of one user never all, and the operator always one."""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from ropewalk.events.foreign import quoted
from ropewalk.monitor.adapters.accounts import Account
from ropewalk.monitor.adapters.embedded import refused

TOO_MANY_QUERIES = 202  # ClickHouse's number
NUM_SLOTS = 5  # statements at a time: each may use a quarter of the memory
_OTHERS_SLOTS = NUM_SLOTS - 1  # one is the operator's, who must see what is going on
_USER_SLOTS = 3
_ANONYMOUS_SLOTS = 2
_PATIENCE_S = 20.0  # for a slot; then the client is told to try again
_WORTH_SAYING_S = 1.0  # full for a moment is no news


class Slots:
    """Slots are taken in the order of asking. Use it in one event loop; `reason` may be asked from any thread."""

    def __init__(self) -> None:
        self._all = asyncio.Semaphore(NUM_SLOTS)
        self._others = asyncio.Semaphore(_OTHERS_SLOTS)
        self._of_user: dict[str, asyncio.Semaphore] = {}
        self._begun: dict[object, tuple[str, float]] = {}  # one entry per taken slot: whose, since when
        self._waiting: Counter[str] = Counter()

    @asynccontextmanager
    async def taken(self, account: Account) -> AsyncIterator[None]:
        """Hold a slot. Raises EngineError when none has become free for a while."""
        token = object()
        async with AsyncExitStack() as held:
            await self._wait(account, held)
            self._begun[token] = account.user, time.monotonic()
            try:
                yield
            finally:
                del self._begun[token]

    def reason(self) -> str:
        """Why others have to wait and for whom, in a sentence; empty while they need not."""
        begun, waiting = list(self._begun.values()), dict(self._waiting)
        since = defaultdict[str, list[float]](list)
        for user, moment in begun:
            since[user].append(moment)
        full = len(begun) >= _OTHERS_SLOTS or any(waiting.get(user) for user in since)
        oldest_s = self._oldest_s()
        if not full or oldest_s < _WORTH_SAYING_S:
            return ""
        whose = ", ".join(f"{len(moments)} of {quoted(user)}" for user, moments in sorted(since.items()))
        return (
            f"its SQL interface is full: {len(begun)} queries run ({whose}), the oldest for {oldest_s:.0f} s, "
            f"{sum(waiting.values())} wait"
        )

    async def _wait(self, account: Account, held: AsyncExitStack) -> None:
        self._waiting[account.user] += 1
        try:
            async with asyncio.timeout(_PATIENCE_S):
                for semaphore in self._needed(account):
                    await held.enter_async_context(semaphore)
        except TimeoutError:
            raise refused(
                TOO_MANY_QUERIES,
                f"no slot for this query became free in {_PATIENCE_S:.0f} s, the oldest query has run for "
                f"{self._oldest_s():.0f} s: try again (TOO_MANY_SIMULTANEOUS_QUERIES)",
            ) from None
        finally:
            self._waiting[account.user] -= 1

    def _needed(self, account: Account) -> list[asyncio.Semaphore]:
        """In this order: who waits for a query of their own keeps nobody else waiting."""
        limit = _ANONYMOUS_SLOTS if account.anonymous else _USER_SLOTS
        own = self._of_user.setdefault(account.user, asyncio.Semaphore(limit))
        return [own, self._all] if account.operator else [own, self._others, self._all]

    def _oldest_s(self) -> float:
        now = time.monotonic()
        return now - min((moment for _, moment in list(self._begun.values())), default=now)
