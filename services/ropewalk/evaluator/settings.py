"""What the evaluator may use of the machine."""

from pathlib import Path

from pydantic import Field

from ropewalk.bus.settings import ExpandedPath
from ropewalk.runtime.settings import RuntimeSettings


class Settings(RuntimeSettings):
    """The runtime's settings and the resources of the process that scores."""

    evaluator_threads: int = Field(default=2, ge=1, description="threads of one matrix product while scoring")
    evaluator_niceness: int = Field(
        default=19,
        ge=0,
        le=19,
        description="of the process that reads checkpoints beside a training: at 19 it takes what is left over, at 0 "
        "its share of the machine",
    )
    evaluator_task_minutes: float = Field(
        default=15.0,
        gt=0,
        le=1440,
        description="minutes in which the examples of a task are asked; fewer are scored where that is too short; a "
        "judge must have answered in them",
    )
    evaluator_judge_keys: ExpandedPath | None = Field(
        default=None,
        description="folder with the keys of endpoints that judge, each in a file named as its host; default: "
        "`judge-keys` in the state folder",
    )
    evaluator_review_host: str = Field(default="127.0.0.1", description="address of the raters' page")
    evaluator_review_port: int = Field(default=0, ge=0, le=65_535, description="port of the raters' page; 0: none")

    @property
    def judge_keys(self) -> Path:
        """Where they are."""
        return self.evaluator_judge_keys or self.state_dir / "judge-keys"
