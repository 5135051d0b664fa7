"""What can be wrong with a stored folder. It may be whole on the next try: another copy, or a write that ends."""

from ropewalk.errors import RopewalkError


class StorageError(RopewalkError):
    """A folder is missing, or not what was written. The text is a sentence that names it."""
