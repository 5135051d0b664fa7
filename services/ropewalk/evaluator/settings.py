"""What the evaluator may use of the machine."""

from pydantic import Field

from ropewalk.runtime.settings import RuntimeSettings


class Settings(RuntimeSettings):
    """The runtime's settings and the resources of the process that scores."""

    evaluator_threads: int = Field(default=2, ge=1, description="threads of one matrix product while scoring")
