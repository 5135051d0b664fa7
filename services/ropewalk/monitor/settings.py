"""Where the monitor keeps and serves its tables, and how strict its watch is."""

from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from ropewalk.monitor.domain.watch import WatchPolicy
from ropewalk.runtime.settings import RuntimeSettings

# What inserts and merges used goes back to the system at once: 60 MB less, for a seventh more CPU time per row.
ENGINE_ALLOCATOR = "dirty_decay_ms:0,muzzy_decay_ms:0"


class MonitorSettings(BaseSettings):
    """The monitor's own settings."""

    model_config = SettingsConfigDict(env_prefix="ROPEWALK_MONITOR_", frozen=True)

    host: str = Field(default="127.0.0.1", description="address of the ClickHouse HTTP interface")
    port: int = Field(default=8123, ge=1, le=65_535, description="port of the ClickHouse HTTP interface")
    user: str = Field(default="ropewalk", description="the user who may read")
    token: str = Field(default="", repr=False, description="password of that user; empty: nobody gets in as them")
    operator_token: str = Field(
        default="",
        repr=False,
        description="password of `<user>_operator`, who may read even when others hold all slots; empty: no such user",
    )
    writer_token: str = Field(default="", repr=False, description="password of `<user>_writer`; empty: no such user")
    anonymous: bool = Field(default=False, description="may `default` read with an empty password")
    data_dir: Path | None = Field(default=None, description="folder of the tables; default <state_dir>/clickhouse")
    clickhouse_url: str = Field(
        default="",
        repr=False,
        description="http(s)://user:password@host:port of a ClickHouse server; empty: embedded in this process",
    )
    max_memory_mb: int = Field(
        default=1024, ge=256, description="memory of the embedded engine; a reader's query may have a quarter"
    )
    query_seconds: int = Field(default=60, ge=1, description="a reader's query may run this long")
    sink_wait_s: float = Field(default=0.5, gt=0, le=10, description="rows wait at most this long to be packed")
    baseline_requests: int = Field(default=120, ge=40, description="successful requests that make a baseline")
    window_requests: int = Field(default=25, ge=1, description="requests between two states of the signals")
    false_alarms_per_request: float = Field(
        default=1e-5, gt=0, lt=0.01, description="promised rate of false alarms, over all signals together"
    )

    @field_validator("clickhouse_url")
    @classmethod
    def _is_an_address(cls, url: str, others: ValidationInfo) -> str:
        """Nothing of it is shown: it holds a password."""
        try:
            parts = urlsplit(url)
            sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            sound = False
        if url and not sound:
            raise ValueError("it must be http(s)://user:password@host:port, with signs such as # in it as %23")
        if url and others.data.get("token") and parts.username == others.data.get("user"):
            raise ValueError("its user writes, so who reads needs another name: set ROPEWALK_MONITOR_USER")
        return url

    @property
    def policy(self) -> WatchPolicy:
        """How the watch over the signals works."""
        return WatchPolicy(
            baseline_requests=self.baseline_requests,
            window_requests=self.window_requests,
            false_alarms_per_request=self.false_alarms_per_request,
        )


class Settings(RuntimeSettings):
    """Everything the monitor is told."""

    monitor: MonitorSettings = Field(default_factory=MonitorSettings)

    @property
    def data_dir(self) -> Path:
        """The folder of the embedded engine."""
        return (self.monitor.data_dir or self.state_dir / "clickhouse").absolute()
