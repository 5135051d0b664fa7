"""Encodes conversations with the tokenizer's own chat template, marking what the assistant says."""

from functools import cached_property
from pathlib import Path
from typing import Literal

from ropewalk.corpus.document import ChatMessage, message_records
from ropewalk.events.foreign import one_line
from ropewalk.model.chat.encoder import Encoder
from ropewalk.model.chat.errors import ChatTemplateError, NoAnswerFoundError, SpelledMarkError
from ropewalk.model.chat.renderer import ChatRenderer

ConversationFault = Literal["special_token_in_text", "template_mismatch", "template_refused"]


class ConversationEncoder:
    """Encodes to (ids, mask): mask is 1 on the tokens of the assistant's answers and the end token after each."""

    def __init__(self, folder: Path, encoder: Encoder) -> None:
        self._folder = folder
        self._encoder = encoder
        self.refusal = ""  # what the template said to the first conversation that it refused

    @cached_property
    def _renderer(self) -> ChatRenderer:
        """Only conversations need one, and a tokenizer of texts may have no template."""
        return ChatRenderer(self._folder)

    def encode(self, messages: tuple[ChatMessage, ...]) -> tuple[list[int], list[int]] | ConversationFault:
        """The endpoint reads a special token in a turn as text; nothing shall be learnt from such a turn."""
        spelled = (
            special in turn.content + turn.name for turn in messages for special in self._renderer.special_tokens
        )
        if any(spelled):
            return "special_token_in_text"
        try:
            prompt = self._renderer.conversation(message_records(messages))
            encoded = self._encoder.prompt(prompt)
        except SpelledMarkError:
            return "special_token_in_text"
        except NoAnswerFoundError:
            return "template_mismatch"
        except ChatTemplateError as error:
            self.refusal = self.refusal or one_line(str(error))
            return "template_refused"
        return encoded.ids, encoded.mask(prompt.answers)
