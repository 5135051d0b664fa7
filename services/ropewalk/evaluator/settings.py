"""What the evaluator may use of the machine."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from ropewalk.runtime.settings import RuntimeSettings


class ComputeSettings(BaseSettings):
    """Resources of the process that scores."""

    model_config = SettingsConfigDict(env_prefix="ROPEWALK_EVALUATOR_", frozen=True)

    threads: int = Field(default=2, ge=1, description="threads of one matrix product while scoring")


class Settings(RuntimeSettings):
    """Everything the evaluator is told."""

    compute: ComputeSettings = Field(default_factory=ComputeSettings)
