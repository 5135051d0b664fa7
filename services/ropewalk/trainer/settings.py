"""Where the trainer finds Ray, and how long it waits. What to train is in the recipe."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from ropewalk.bus.settings import ExpandedPath
from ropewalk.runtime.plain_folder import plain_folder
from ropewalk.runtime.settings import RuntimeSettings

_LONGEST_RAY_TEMP = 36  # bytes: Ray adds 62 to a process's own folder in it, and a Unix socket's path may have 107


class TrainingSettings(BaseSettings):
    """The trainer's own settings."""

    model_config = SettingsConfigDict(env_prefix="ROPEWALK_TRAINER_", frozen=True)

    ray_address: str = Field(default="", description="a Ray cluster to join; empty: a private one for each stage")
    ray_tmp: ExpandedPath | None = Field(
        default=None,
        description="a short path of ours alone: Unix sockets below it may have 107 bytes; default "
        "<state_dir>/trainer-ray if that is short, else a folder in /tmp",
    )
    stall_s: float = Field(default=300.0, ge=5, description="a worker group without a report for this long is ended")
    parallel_trials: int = Field(default=2, ge=1, description="search trials at a time, one CPU each")


class Settings(RuntimeSettings):
    """Everything the trainer is told."""

    training: TrainingSettings = Field(default_factory=TrainingSettings)

    @property
    def ray_tmp(self) -> Path:
        """Where Ray keeps its sessions. Raises OSError."""
        return self.training.ray_tmp or plain_folder(self.state_dir.absolute(), "trainer-ray", _LONGEST_RAY_TEMP)
