"""Who may use the interface, and who is asking."""

import hmac
from dataclasses import dataclass

from starlette.requests import Request

from ropewalk.events.foreign import one_line
from ropewalk.monitor.adapters.embedded import refused
from ropewalk.monitor.adapters.http_request import credentials

AUTHENTICATION_FAILED, REQUIRED_PASSWORD = 516, 194


@dataclass(frozen=True, kw_only=True)
class Account:
    """Who may come in. An empty password lets `default` in, and nobody else."""

    user: str
    password: str
    read_only: bool = True
    operator: bool = False  # has a slot that nobody else can take

    @property
    def anonymous(self) -> bool:
        """Whether anybody can be this user."""
        return not self.password


def account_of(request: Request, accounts: tuple[Account, ...]) -> Account:
    """Raises EngineError for a stranger. A bearer token or a key alone is enough."""
    user, password = credentials(request)
    for account in accounts:
        if user in (account.user, "") and _same(password, account.password) and (user or password):
            return account
        if account.user == "default" and user in ("default", "") and not password and account.anonymous:
            return account
    code = AUTHENTICATION_FAILED if user or password else REQUIRED_PASSWORD
    failure = "Authentication failed: password is incorrect or there is no user with such name. (AUTHENTICATION_FAILED)"
    raise refused(code, f"{one_line(user or 'default', 64)}: {failure}")


def _same(given: str, expected: str) -> bool:
    return bool(expected) and hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode())
