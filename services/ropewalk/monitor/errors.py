"""How the column store and its door can fail.

AnalyticsError
├── StoreUnavailableError   the store did not answer: the same insert may be repeated with its token
├── StoreRefusedError       the store read the statement or the rows and will refuse them again
├── NewerTablesError   the tables were made by a newer release
├── EngineError        what the embedded engine says of a statement
├── RowError           a row that cannot be stored
└── ForbiddenError     a statement or a setting that a reader may not use
"""

from ropewalk.errors import RopewalkError


class AnalyticsError(RopewalkError):
    """The family of errors of the store."""


class StoreUnavailableError(AnalyticsError):
    """The store did not answer, so the outcome is unknown."""


class StoreRefusedError(AnalyticsError):
    """The store refused; the text is its own."""


class NewerTablesError(AnalyticsError):
    """The tables were made by a newer release, and would not be understood."""
