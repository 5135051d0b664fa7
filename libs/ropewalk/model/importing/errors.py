"""Why a model is not imported or exported. One clear sentence with the remedy."""

from ropewalk.model.errors import ModelError


class RefusedError(ModelError, ValueError):
    """The model cannot be taken, or not be written in this format. The text says why."""
