"""What can go wrong between a service and the bus.

RopewalkError
├── BusError              the bus refused a message for good (stream missing, unknown user)
│   ├── DeniedError       our user has not the right to publish or subscribe there
│   └── TooLargeError     a message is larger than the server takes; it will never be taken
├── ConflictError         somebody else changed the state first: read it again
└── MalformedMessageError a message does not fit its type: dead letter
"""

from ropewalk.errors import RopewalkError

# The remedy where the server does not know who asks.
IDENTIFY = "set ROPEWALK_NATS_USER and ROPEWALK_NATS_NKEY_FILE as `ropewalk keys export` says"


class BusError(RopewalkError):
    """The bus refused a message, and will refuse it again."""


class DeniedError(BusError):
    """The user of this connection has not the right. The text names user and subject."""


class TooLargeError(BusError):
    """A message is larger than the server takes, now and always. The text names its subject and both sizes."""


class ConflictError(RopewalkError):
    """A compare-and-set failed: the state has moved on."""


class MalformedMessageError(RopewalkError):
    """The body of a message is not valid for its type. The text names the field and the value."""
