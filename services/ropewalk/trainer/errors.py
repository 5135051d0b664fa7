"""The family of what ends a training or a search for good."""

from ropewalk.errors import RopewalkError


class TrainingError(RopewalkError):
    """Training cannot go on, and another attempt would end the same way. The text is one sentence for the user."""
