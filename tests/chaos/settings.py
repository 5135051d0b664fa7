"""What a person may choose about a chaos run, from the environment."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class ChaosSettings(BaseSettings):
    """`ROPEWALK_CHAOS_SEED=7 make chaos` repeats the faults of seed 7; without it each run draws new ones."""

    model_config = SettingsConfigDict(env_prefix="ROPEWALK_CHAOS_", frozen=True)

    seed: int | None = Field(default=None, description="of the faults, their times and the runs")
    faults: int | None = Field(default=None, ge=1, description="how many, instead of the test's own number")
    runs: int | None = Field(default=None, ge=1, description="how many, instead of the test's own number")
