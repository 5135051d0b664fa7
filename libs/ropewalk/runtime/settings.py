"""Where things are, read from the environment once. What to do is a recipe, not a setting.

A service's own `settings.py` derives from RuntimeSettings and adds fields under its own prefix.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from ropewalk.bus.settings import ExpandedPath, NatsSettings
from ropewalk.errors import RopewalkError
from ropewalk.events.foreign import cut, quoted
from ropewalk.events.resources import Resources
from ropewalk.storage.connect import StoreAddress
from ropewalk.telemetry.settings import TelemetrySettings

S = TypeVar("S", bound="RuntimeSettings")

_MOST = 1_000_000  # seconds or devices: whoever writes more means something else


class SettingsError(RopewalkError):
    """A variable of the environment has a value that cannot be used. The text names both and the remedy."""


class StorageSettings(BaseSettings):
    """Where sealed folders live: `file:///path` or `s3://bucket/prefix` (credentials from the usual AWS variables)."""

    model_config = SettingsConfigDict(env_prefix="ROPEWALK_OBJECTS_", frozen=True)

    url: str = ""
    endpoint: str = Field(default="", description="URL of an S3-compatible server; empty: the provider's own")


class HealthSettings(BaseSettings):
    """Where `/live` and `/ready` are answered, for an orchestrator. The embedded stack asks over the bus instead."""

    model_config = SettingsConfigDict(env_prefix="ROPEWALK_HEALTH_", frozen=True)

    host: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65535, description="port of `/live` and `/ready`; 0: none")


class RuntimeSettings(BaseSettings):
    """What every service is told."""

    model_config = SettingsConfigDict(env_prefix="ROPEWALK_", frozen=True)

    state_dir: ExpandedPath = Path("~/.ropewalk").expanduser()
    lease_ttl_s: float = Field(
        default=10.0, ge=2.0, le=_MOST, description="a stage is taken over this long after its last sign"
    )
    stop_grace_s: float = Field(
        default=8.0, ge=0.0, le=_MOST, description="what is in hand may take this long after SIGTERM"
    )
    instance: str = Field(default_factory=lambda: f"{os.uname().nodename}-{os.getpid()}")
    pool: str = Field(default="", description="instances of one pool share what it has; default: the machine's name")
    capacity_cpus: float = Field(
        default=0.0,
        ge=0,
        le=_MOST,
        description="CPUs that stages of the pool may use together; 0: those of the machine",
    )
    capacity_gpus: int = Field(default=0, ge=0, le=_MOST, description="GPUs that stages of the pool may use together")
    capacity_gpu_kind: str = Field(
        default="", pattern=r"^[a-z0-9_-]{0,40}$", description="what they are, as a recipe's `gpu_kind` asks for them"
    )
    nats: NatsSettings = Field(default_factory=NatsSettings)
    storage: StorageSettings = Field(default_factory=StorageSettings)
    telemetry: TelemetrySettings = Field(default_factory=TelemetrySettings)
    health: HealthSettings = Field(default_factory=HealthSettings)

    @property
    def store(self) -> StoreAddress:
        """The object store of this deployment."""
        return StoreAddress(url=self.objects_url, endpoint=self.storage.endpoint, cache=self.state_dir / "cache")

    @property
    def pool_name(self) -> str:
        """The id of the pool, fit for a subject."""
        return re.sub("[^a-z0-9_-]", "-", (self.pool or os.uname().nodename).lower()).strip("-_")[:63] or "local"

    @property
    def pool_room(self) -> Resources:
        """What the stages of the pool may use together."""
        cpus = self.capacity_cpus or float(os.cpu_count() or 1)
        return Resources(cpus=cpus, gpus=self.capacity_gpus, gpu_kind=self.capacity_gpu_kind)

    @property
    def objects_url(self) -> str:
        """The store's URL; by default a folder in the state folder."""
        return self.storage.url or (self.state_dir / "objects").absolute().as_uri()


def read_settings(kind: type[S]) -> S:
    """The settings in the environment. Raises SettingsError."""
    try:
        return kind()
    except ValidationError as error:
        owners = {owner.__name__: owner for owner in _owners(kind)}
        owner = owners.get(error.title, kind)
        raise SettingsError("; ".join(_sentence(dict(item), owner) for item in error.errors())) from None


def _owners(kind: type[BaseSettings]) -> Iterator[type[BaseSettings]]:
    yield kind
    for field in kind.model_fields.values():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseSettings):
            yield from _owners(field.annotation)


def _sentence(item: dict[str, Any], owner: type[BaseSettings]) -> str:
    place = str(item["loc"][0]) if item["loc"] else ""
    field = owner.model_fields.get(place)  # a field with another name in the environment is reported by that name
    name = f"{owner.model_config.get('env_prefix', '')}{place}".upper() if field is not None else place
    value = quoted(item["input"]) if field is None or field.repr else "a value"
    return f"the variable {name} has {value}: {cut(str(item['msg']))}; change it, or unset it for the default"
