"""Where serving listens and where its Triton is. Read from the environment once, in `__main__` or `triton`."""

import os
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from ropewalk.runtime.plain_folder import plain_folder
from ropewalk.runtime.settings import RuntimeSettings
from ropewalk.runtime.shared_memory import shared_memory_prefix

GRPC_SUFFIX = 8001


@dataclass(frozen=True)
class TritonSockets:
    """The Unix sockets of one server, in a folder that only its user may enter."""

    folder: Path

    @property
    def http(self) -> Path:
        """The KServe v2 HTTP API."""
        return self.folder / "http"

    @property
    def metrics(self) -> Path:
        """Prometheus metrics."""
        return self.folder / "metrics"

    @property
    def grpc(self) -> Path:
        """The KServe v2 gRPC API. Triton appends a port to every address, which so becomes part of the name."""
        return self.folder / f"grpc:{GRPC_SUFFIX}"


class TritonSettings(BaseSettings):
    """The Triton server behind the endpoint, and the ports on which its protocols are offered to holders of a key."""

    model_config = SettingsConfigDict(env_prefix="ROPEWALK_SERVING_TRITON_", frozen=True)

    host: str = Field(default="127.0.0.1", description="name or address told to clients of Triton's protocols")
    http: int = Field(default=8000, ge=1, le=65_535, description="port of the KServe v2 HTTP API")
    grpc: int = Field(default=8001, ge=1, le=65_535, description="port of the KServe v2 gRPC API")
    variant: str = Field(default="", description="name of the config in configs/ to serve, for example vllm")
    num_slots: int = Field(default=16, ge=1, le=1024, description="requests decoded together")
    idle_s: float = Field(default=20.0, gt=0, description="a model whose process answers nothing for so long is hung")


class GatewaySettings(BaseSettings):
    """The OpenAI-compatible endpoint."""

    model_config = SettingsConfigDict(env_prefix="ROPEWALK_SERVING_", frozen=True)

    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=1, le=65_535)
    public_url: str = Field(default="", description="base URL told to others; empty: http://<host>:<port>/v1")
    demo_key: str = Field(default="", repr=False, description="API key handed to people")
    internal_key: str = Field(default="", repr=False, description="API key of the other services")
    keys_file: Path | None = Field(default=None, description="more keys, a line each: <key id> <sha256 of the key>")
    max_in_flight: int = Field(default=64, ge=1, description="requests admitted at once; more get status 429")
    max_body_bytes: int = Field(default=1 << 20, ge=1024)
    drain_s: float = Field(
        default=0.0,
        ge=0.0,
        le=60.0,
        description="after SIGTERM readiness says no and requests are still answered for so long, "
        "for a balancer to go elsewhere; part of ROPEWALK_STOP_GRACE_S",
    )
    log_rows_in_memory: int = Field(default=20_000, ge=100, description="request logs kept while no disk takes them")
    log_spool_bytes: int = Field(
        default=1 << 30, ge=1 << 20, description="disk for request logs while the bus is away; beyond it they are lost"
    )


class Settings(RuntimeSettings):
    """Everything the serving service is told."""

    gateway: GatewaySettings = Field(default_factory=GatewaySettings)
    triton: TritonSettings = Field(default_factory=TritonSettings)

    @property
    def triton_dir(self) -> Path:
        """The server folder and, by default, the model repository."""
        return plain_folder(self.state_dir.absolute(), "triton")

    @property
    def repository(self) -> Path:
        """The model repository that this service writes and Triton reads."""
        return self.triton_dir / "models"

    @property
    def sockets(self) -> TritonSockets:
        """Where Triton listens: nobody but this user can enter the folder."""
        return TritonSockets(self.triton_dir / "sockets")

    @property
    def shm_prefix(self) -> str:
        """Names of this server's shared memory begin so: stable over restarts, different for every server."""
        return shared_memory_prefix(self.state_dir.absolute())

    @property
    def openai_url(self) -> str:
        """The base URL that OpenAI clients use."""
        return self.gateway.public_url or f"http://{self.gateway.host}:{self.gateway.port}/v1"

    @property
    def triton_grpc(self) -> str:
        """`host:port` at which clients with a key reach Triton's gRPC API."""
        return f"{self.triton.host}:{self.triton.grpc}"


def inherited_environment() -> dict[str, str]:
    """The environment that a child process starts from."""
    return dict(os.environ)
