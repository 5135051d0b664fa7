"""The family of what cannot be read: places, files, archives, ledgers."""

from ropewalk.errors import RopewalkError


class CorpusError(RopewalkError):
    """Something that a corpus is made of cannot be read. The text says why."""
