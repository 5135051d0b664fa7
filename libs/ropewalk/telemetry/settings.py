"""Where traces and metrics go, read from the environment once."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class TelemetrySettings(BaseSettings):
    """OpenTelemetry export; without an endpoint it costs nothing."""

    model_config = SettingsConfigDict(frozen=True)

    otlp_endpoint: str = Field(default="", validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT")
