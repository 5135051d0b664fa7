"""What can be wrong with a chat.

ChatTemplateError        a ValueError: one clear sentence
├── NoAnswerFoundError   the template shows no answer, or shows it so that it cannot be found
└── SpelledMarkError     a message spells a mark, and this tokenizer cannot tell it from a real one
"""

from ropewalk.model.errors import ModelError


class ChatTemplateError(ModelError, ValueError):
    """The model has no chat template, or it refuses these messages, or it cannot be run within its bounds."""


class NoAnswerFoundError(ChatTemplateError):
    """Of the answers in the messages none is in the rendered text, so there is nothing to learn from it."""


class SpelledMarkError(ChatTemplateError):
    """Encoding the text would make a mark of what somebody only wrote."""
