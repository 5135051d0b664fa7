"""Names for runs: `<recipe name>-<utc yymmdd-hhmmss>-<4 hex>`, sortable by time and unique enough to type."""

import re
import secrets
from datetime import datetime

from ropewalk.client.errors import ClientError
from ropewalk.events.base import RUN_ID_PATTERN


def new_run_id(recipe_name: str, now: datetime) -> str:
    """A fresh run id; `now` is in UTC."""
    return f"{recipe_name[:40]}-{now:%y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def check_run_id(run_id: str) -> str:
    """The run id itself. Raises ClientError if it cannot be one."""
    if not re.match(RUN_ID_PATTERN, run_id):
        raise ClientError(
            f"run id {run_id!r} is not valid: use at most 63 lower-case letters, digits, '-' and '_',"
            " beginning with a letter or digit"
        )
    return run_id
