"""Where the trainer finds Ray, and how long it waits. What to train is in the recipe."""

import os
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from ropewalk.runtime.settings import ExpandedPath, RuntimeSettings


class TrainingSettings(BaseSettings):
    """The trainer's own settings."""

    model_config = SettingsConfigDict(env_prefix="ROPEWALK_TRAINER_", frozen=True)

    ray_address: str = Field(default="", description="a Ray cluster to join; empty: a private one for each stage")
    ray_tmp: ExpandedPath = Field(
        default_factory=lambda: Path(f"/tmp/ropewalk-ray-{os.geteuid()}"),
        description="a short path of ours alone: Unix sockets below it may have 107 bytes; default "
        "/tmp/ropewalk-ray-<user id>",
    )
    stall_s: float = Field(default=300.0, ge=5, description="a worker group without a report for this long is ended")
    parallel_trials: int = Field(default=2, ge=1, description="search trials at a time, one CPU each")


class Settings(RuntimeSettings):
    """Everything the trainer is told."""

    training: TrainingSettings = Field(default_factory=TrainingSettings)
