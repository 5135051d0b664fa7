"""Tokens become text piece by piece: whole characters only, and never past a stop string."""

from tokenizers import Tokenizer

_UNFINISHED = "\N{REPLACEMENT CHARACTER}"
_LONGEST_CHARACTER = 8  # tokens; a character has at most 4 bytes, so what is longer is no character and never will be


class TextStream:
    """The text of one completion as it grows.

    A token may end inside a UTF-8 character, and its text may depend on the token before: so a piece is the
    difference between decoding with and without the newest tokens, withheld while it ends unfinished. Text that
    could be the beginning of a stop string is withheld too.
    """

    def __init__(self, tokenizer: Tokenizer, stop: tuple[str, ...]) -> None:
        self._tokenizer = tokenizer
        self._stop = tuple(text for text in stop if text)
        self._tokens: list[int] = []
        self._context = 0  # tokens before this give no text any more
        self._read = 0  # tokens before this are in `_held` or were handed out
        self._held = ""

    def add(self, token: int) -> tuple[str, bool]:
        """The text that is now certain, and whether a stop string was met (it is not part of the text)."""
        self._tokens.append(token)
        self._held += self._advance(final=False)
        return self._release()

    def end(self) -> str:
        """Whatever was withheld, when the completion ends for another reason."""
        self._held += self._advance(final=True)
        text, stopped = self._release()
        return text if stopped else text + self._held

    def _advance(self, *, final: bool) -> str:
        before = self._tokenizer.decode(self._tokens[self._context : self._read])
        after = self._tokenizer.decode(self._tokens[self._context :])
        is_over = final or len(self._tokens) - self._read > _LONGEST_CHARACTER
        if len(after) <= len(before) or (after.endswith(_UNFINISHED) and not is_over):
            return ""
        self._context, self._read = self._read, len(self._tokens)
        return after[len(before) :]

    def _release(self) -> tuple[str, bool]:
        found = [place for place in (self._held.find(text) for text in self._stop) if place >= 0]
        if found:
            text, self._held = self._held[: min(found)], ""
            return text, True
        keep = max((_overlap(self._held, text) for text in self._stop), default=0)
        cut = len(self._held) - keep
        text, self._held = self._held[:cut], self._held[cut:]
        return text, False


def _overlap(text: str, stop: str) -> int:
    """The length of the longest end of `text` that begins `stop`."""
    return next((size for size in range(min(len(text), len(stop) - 1), 0, -1) if stop.startswith(text[-size:])), 0)
