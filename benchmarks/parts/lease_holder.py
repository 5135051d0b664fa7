"""A process that holds leases and does nothing else: `python lease_holder.py NAME NUMBER`. Says `held`, then waits."""

import asyncio
import sys
from functools import partial

from ropewalk.runtime.settings import RuntimeSettings
from ropewalk.stages.leases import LeaseKeeper


async def hold(name: str, number: int) -> None:
    """Hold them until the input ends."""
    settings = RuntimeSettings()
    keeper = LeaseKeeper(settings.nats, name, settings.lease_ttl_s)
    lost: list[int] = []
    await keeper.start()
    for index in range(number):
        lease = await keeper.acquire("bench", f"{name}-{index}", partial(lost.append, index))
        assert lease is not None
    print("held", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    print(f"lost {len(lost)}", flush=True)
    await keeper.stop()


if __name__ == "__main__":
    asyncio.run(hold(sys.argv[1], int(sys.argv[2])))
