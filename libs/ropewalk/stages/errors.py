"""How the work of a stage can end other than well. The retry budget of each is in `policy`.

RopewalkError
├── StageError        it cannot succeed; the run fails with this text
├── LeaseLostError    another instance holds the stage now
├── WorkRaisedError   the work raised an error that its input or our code brings about every time
└── ChildDiedError    a child process ended without a result
"""

from ropewalk.errors import RopewalkError


class StageError(RopewalkError):
    """A stage cannot succeed however often it is tried. The text is one clear sentence for the run's owner."""


class LeaseLostError(RopewalkError):
    """The lease was not renewed in time or belongs to somebody else."""


class WorkRaisedError(RopewalkError):
    """The work raised an error that it will raise again; the text has its type, words and place in one line."""


class ChildDiedError(RopewalkError):
    """A child process ended without a result; the text has its exit status and last words."""
