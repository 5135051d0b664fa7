"""Why a drill cannot be played, said to its user.

DrillError
├── UnknownDrillError   there is no drill of that name
└── NotPreparedError    a precondition is missing; the text says how to prepare it
"""

from ropewalk.errors import RopewalkError


class DrillError(RopewalkError):
    """The text is a sentence for the user."""


class UnknownDrillError(DrillError):
    """There is no such drill."""


class NotPreparedError(DrillError):
    """The stack, the run or the machine is not in the state that the drill needs."""
