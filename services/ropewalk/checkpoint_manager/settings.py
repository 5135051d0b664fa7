"""Where the checkpoint-manager finds things."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from ropewalk.runtime.settings import RuntimeSettings


class EndpointSettings(BaseSettings):
    """How parity is asked of the endpoints. Their addresses come with the event that a model is deployed."""

    model_config = SettingsConfigDict(env_prefix="ROPEWALK_CHECKPOINT_MANAGER_", frozen=True, populate_by_name=True)

    internal_key: str = Field(
        default="",
        repr=False,
        validation_alias="ROPEWALK_SERVING_INTERNAL_KEY",
        description="API key of the stack's own requests: what serving reads, so that one variable sets both",
    )
    timeout_s: float = Field(default=60.0, gt=0, description="how long one prompt may take")


class ScrubSettings(BaseSettings):
    """How often what is stored is hashed again, and how fast."""

    model_config = SettingsConfigDict(env_prefix="ROPEWALK_CHECKPOINT_MANAGER_SCRUB_", frozen=True)

    every_h: float = Field(default=24.0, ge=0, le=1e6, description="each folder is hashed again so often; 0: never")
    mb_per_s: float = Field(default=50.0, gt=0, le=1e6, description="megabytes that are read a second at most")


class Settings(RuntimeSettings):
    """Everything the checkpoint-manager is told."""

    endpoint: EndpointSettings = Field(default_factory=EndpointSettings)
    scrub: ScrubSettings = Field(default_factory=ScrubSettings)
    approvers: dict[str, str] = Field(
        default_factory=dict,
        validation_alias="ROPEWALK_CHECKPOINT_MANAGER_APPROVERS",
        description="who may approve a promotion: names with public nkeys, as JSON",
    )
