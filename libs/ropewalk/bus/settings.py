"""How to reach the bus, read from the environment once."""

from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from ropewalk.bus.servers import without_users


def _expanded(value: object) -> object:
    return Path(value).expanduser() if isinstance(value, str) else value


ExpandedPath = Annotated[Path, BeforeValidator(_expanded)]


class NatsSettings(BaseSettings):
    """How to reach the bus. A user has a password or an nkey; a `tls://` address is never used without TLS."""

    model_config = SettingsConfigDict(env_prefix="ROPEWALK_NATS_", frozen=True)

    url: str = Field(
        default="nats://127.0.0.1:4222",
        repr=False,
        description="may hold `user:password@`; several servers of one cluster are separated by commas",
    )
    user: str = Field(default="", description="who we are to the bus, which gives every user rights of its own")
    password: str = Field(default="", repr=False)
    nkey_file: ExpandedPath | None = Field(default=None, description="file with the seed of the user's key")
    tls_ca: ExpandedPath | None = Field(default=None, description="PEM file that signs the server's certificate")
    replicas: int = Field(
        default=0, ge=0, le=5, description="servers that keep a copy of every stream; 0: as it is, and 1 of a new one"
    )

    @property
    def address(self) -> str:
        """The address as it may be shown: without a password."""
        return without_users(self.url)
