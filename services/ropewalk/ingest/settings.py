"""Where ingest finds things, and how much it takes at once."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from ropewalk.runtime.settings import RuntimeSettings


class Settings(RuntimeSettings):
    """The runtime's settings and the sizes of records and segments."""

    model_config = SettingsConfigDict(env_prefix="ROPEWALK_", frozen=True)

    ingest_record_bytes: int = Field(default=8_000_000, gt=0, description="a larger record is quarantined")
    ingest_any_family: bool = Field(
        default=False,
        description="accept base models that our own decoder cannot run, for an endpoint with vLLM",
    )
    ingest_segment_bytes: int = Field(default=4_000_000, gt=0, description="raw bytes after which a segment is closed")
