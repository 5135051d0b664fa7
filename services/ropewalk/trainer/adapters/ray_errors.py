"""What Ray's errors say, in one short line: its own texts are tracebacks over many."""

from ray.exceptions import RayTaskError

from ropewalk.events.foreign import one_line

_MAX_CHARACTERS = 300


def in_one_line(error: BaseException) -> str:
    """Type and text; of an error raised inside a task or an actor, those of its cause."""
    cause = error.cause if isinstance(error, RayTaskError) and isinstance(error.cause, BaseException) else error
    return one_line(" ".join(f"{type(cause).__name__}: {cause}".split()), _MAX_CHARACTERS)
