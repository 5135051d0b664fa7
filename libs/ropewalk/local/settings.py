"""What the embedded stack takes from the environment: where its state lies, and what its processes inherit."""

import os
from collections.abc import Mapping
from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict

from ropewalk.bus.settings import ExpandedPath


class LocalSettings(BaseSettings):
    """Where the embedded stack keeps its state."""

    model_config = SettingsConfigDict(env_prefix="ROPEWALK_", frozen=True, extra="ignore")

    state_dir: ExpandedPath = Path("~/.ropewalk").expanduser()


def inherited_environment() -> Mapping[str, str]:
    """The environment that processes of the stack start from: the user's own, so that tuning passes through."""
    return dict(os.environ)
