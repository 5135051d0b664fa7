"""What the evaluator may use of the machine."""

from pydantic import Field

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
        description="minutes in which the examples of a task are asked; fewer are scored where that is too short",
    )
