"""What can go wrong between a service and its surroundings.

RopewalkError
├── BusError              the bus refused a message for good (stream missing, unknown user)
│   ├── DeniedError       our user has not the right to publish or subscribe there
│   └── TooLargeError     a message is larger than the server takes; it will never be taken
├── ConflictError         somebody else changed the state first: read it again
├── BackupError           a folder cannot become or be a backup, or a server must not be restored into
├── MalformedMessageError a message does not fit its type: dead letter
├── LeaseLostError        another instance holds the stage now
├── ChildDiedError        a child process ended without a result
├── WorkRaisedError       the work raised an error that its input or our code brings about every time
└── ListenError           a port is taken
"""


class RopewalkError(Exception):
    """The family of errors of the runtime."""


class BusError(RopewalkError):
    """The bus refused a message, and will refuse it again."""


class DeniedError(BusError):
    """The user of this connection has not the right. The text names user and subject."""


class TooLargeError(BusError):
    """A message is larger than the server takes, now and always. The text names its subject and both sizes."""


class ConflictError(RopewalkError):
    """A compare-and-set failed: the state has moved on."""


class BackupError(RopewalkError):
    """A backup or a restore cannot be done like this. The text is one sentence with the remedy."""


class MalformedMessageError(RopewalkError):
    """The body of a message is not valid for its type. The text names the field and the value."""


class LeaseLostError(RopewalkError):
    """The lease was not renewed in time or belongs to somebody else."""


class WorkRaisedError(RopewalkError):
    """The work raised an error that it will raise again; the text has its type, words and place in one line."""
