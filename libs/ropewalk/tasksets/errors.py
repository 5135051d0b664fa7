"""Why a task set cannot be used."""

from ropewalk.errors import RopewalkError


class TaskSetError(RopewalkError, ValueError):
    """A task set cannot be used. `faults` are sentences that name file, line, field, value and remedy."""

    def __init__(self, *faults: str) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults

    @property
    def sentences(self) -> tuple[str, ...]:
        """Each fault."""
        return self.faults
