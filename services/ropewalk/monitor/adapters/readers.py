"""Makes the readers of the tables known to a ClickHouse server, with the limits that the monitor's own interface has.

All of it may be repeated, and is at every start: a new password or limit counts from then on. Whoever may not make
users there (`access_management`) makes them by hand.
"""

import logging
from collections.abc import Iterable, Mapping

from ropewalk.monitor.adapters.accounts import Account
from ropewalk.monitor.adapters.clickhouse import ClickHouse
from ropewalk.monitor.errors import StoreRefusedError

logger = logging.getLogger(__name__)

ROLE = "ropewalk_reader"  # and the name of its profile and quota
_QUERIES_PER_MINUTE = 3_000
_QUERIES_AT_ONCE = 16  # of one user: a page of dashboards asks for all its panels at once


async def admit(store: ClickHouse, accounts: Iterable[Account], ceilings: Mapping[str, float]) -> None:
    """Let the readers among the accounts in. Raises StoreUnavailableError."""
    readers = [account for account in accounts if account.read_only and account.password]
    if not readers:
        return
    try:
        for statement in role_statements(ceilings):
            await store.command(statement)
        for account in readers:
            for statement in user_statements(account):
                await store.command(statement)
    except StoreRefusedError as error:
        logger.warning("the server lets the monitor make no readers, so nobody else may ask it: %s", error)


def role_statements(ceilings: Mapping[str, float]) -> list[str]:
    """What every reader has: the tables and nothing else, and limits that may only be lowered."""
    # 0 would mean no limit; level 2, since clients say by settings how an answer is written
    limits = ", ".join(f"{name} = {most:.0f} MIN 1 MAX {most:.0f}" for name, most in ceilings.items())
    return [
        f"CREATE SETTINGS PROFILE OR REPLACE {ROLE} SETTINGS readonly = 2, {limits}, "
        f"max_concurrent_queries_for_user = {_QUERIES_AT_ONCE} CONST",
        f"CREATE ROLE IF NOT EXISTS {ROLE}",
        f"ALTER ROLE {ROLE} SETTINGS PROFILE {ROLE}",
        f"GRANT SELECT ON ropewalk.* TO {ROLE}",
        f"CREATE QUOTA OR REPLACE {ROLE} KEYED BY user_name FOR INTERVAL 1 minute MAX queries = {_QUERIES_PER_MINUTE} "
        f"TO {ROLE}",
    ]


def user_statements(account: Account) -> list[str]:
    """One reader. A user of this name who is there keeps what others granted, and gets this password."""
    name = "`" + account.user.replace("\\", "\\\\").replace("`", "\\`") + "`"
    password = account.password.replace("\\", "\\\\").replace("'", "\\'")
    identified = f"{name} IDENTIFIED WITH sha256_password BY '{password}'"
    return [
        f"CREATE USER IF NOT EXISTS {identified}",
        f"ALTER USER {identified} DEFAULT DATABASE ropewalk",
        f"GRANT {ROLE} TO {name}",
        f"ALTER USER {name} DEFAULT ROLE {ROLE}",
    ]
