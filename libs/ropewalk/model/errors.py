"""The family of what a model cannot do."""

from ropewalk.errors import RopewalkError


class ModelError(RopewalkError):
    """A model folder, its tokenizer, its chat template or a request to it is not usable. The text says why."""
