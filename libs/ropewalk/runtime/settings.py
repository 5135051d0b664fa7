"""Where things are, read from the environment once. What to do is a recipe, not a setting.

A service's own `settings.py` derives from RuntimeSettings and adds fields under its own prefix.
"""

import os
import re
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from ropewalk.bus.settings import ExpandedPath, NatsSettings
from ropewalk.events.resources import Resources
from ropewalk.storage.connect import StoreAddress
from ropewalk.telemetry.settings import TelemetrySettings


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
    lease_ttl_s: float = Field(default=10.0, ge=2.0, description="a stage is taken over this long after its last sign")
    stop_grace_s: float = Field(default=8.0, ge=0.0, description="what is in hand may take this long after SIGTERM")
    instance: str = Field(default_factory=lambda: f"{os.uname().nodename}-{os.getpid()}")
    pool: str = Field(default="", description="instances of one pool share what it has; default: the machine's name")
    capacity_cpus: float = Field(
        default=0.0, ge=0, description="CPUs that stages of the pool may use together; 0: those of the machine"
    )
    capacity_gpus: int = Field(default=0, ge=0, description="GPUs that stages of the pool may use together")
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
