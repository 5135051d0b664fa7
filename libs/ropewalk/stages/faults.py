"""Which errors say something about the work, and how an error is told in one line."""

import traceback

from ropewalk.events.foreign import one_line
from ropewalk.storage.errors import StorageError

# What the same input and the same code bring about every time. Machines and vendors raise others: OSError (disk,
# network), MemoryError, RuntimeError, and errors of their own.
OF_THE_WORK = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NameError,
    RecursionError,
    TypeError,
    ValueError,
)


def is_of_the_work(error: BaseException) -> bool:
    """Whether another attempt at the same work would end in the same error."""
    # A folder that is damaged or gone may be whole on the next try.
    return isinstance(error, OF_THE_WORK) and not isinstance(error, StorageError)


def in_one_line(error: BaseException) -> str:
    """Type, text and the place where it was raised, without a traceback."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno}, {frames[-1].name})" if frames else ""
    return one_line(f"{type(error).__name__}: {' '.join(str(error).split())}", 1000) + where
