"""Where preprocessing finds things."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from ropewalk.runtime.settings import RuntimeSettings


class Settings(RuntimeSettings):
    """The runtime's settings and where Ray runs."""

    model_config = SettingsConfigDict(env_prefix="ROPEWALK_", frozen=True, populate_by_name=True)

    ray_address: str = Field(
        default="",
        validation_alias="ROPEWALK_PREPROCESSING_RAY_ADDRESS",
        description="a running Ray cluster; empty: a private one for each stage",
    )
    preprocessing_base_minutes: float = Field(
        default=240.0,
        gt=0,
        le=10080,
        description="minutes in which the base model may be asked for references, and again for answers to inputs; a "
        "run that takes longer ends with that sentence",
    )
    preprocessing_workers: int = Field(default=2, ge=1, description="CPUs of the private Ray")
