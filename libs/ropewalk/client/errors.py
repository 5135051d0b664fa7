"""What can go wrong for a user of the SDK.

ClientError
├── UnreachableError    the bus or an HTTP endpoint does not answer
├── UnknownRunError     no such run in the log
├── UnknownLetterError  no such dead letter
├── NotDeliverableError a dead letter cannot be delivered again as it is; the text says what to do
├── EndpointRefusedError        an endpoint answered with an error; its words are in the text
│   └── NotKnownError           it does not know the user by this password
└── NotMeasurableError  the log does not hold what the question needs, yet
"""

from ropewalk.errors import RopewalkError


class ClientError(RopewalkError):
    """The text is a sentence for the user."""


class UnreachableError(ClientError):
    """Nothing answers at the address."""


class UnknownRunError(ClientError):
    """The log has no such run."""

    def __init__(self, run_id: str) -> None:
        super().__init__(f"there is no run {run_id!r} in the log; `ropewalk runs` lists them all")


class UnknownLetterError(ClientError):
    """There is no such dead letter."""

    def __init__(self, letter_id: int) -> None:
        super().__init__(f"there is no dead letter {letter_id}; `ropewalk dead list --settled` shows them all")


class NotDeliverableError(ClientError):
    """A dead letter would be rejected again, or nobody is there to take it."""


class EndpointRefusedError(ClientError):
    """An endpoint refused a request."""


class NotKnownError(EndpointRefusedError):
    """An endpoint refused the password."""


class NotMeasurableError(ClientError):
    """Something is missing in the log; the text says what."""
