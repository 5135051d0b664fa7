"""From text to token ids. Special tokens come from marks alone; whatever is only spelt is text.

The tokenizer's own matching of added tokens is used as long as it finds the marks and nothing else: then the ids are
those of transformers. Where a text spells more than is meant, the marks get aliases of the same length in the private
use area, and the tokenizer knows only those.
"""

import json
import re
import threading
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer

from ropewalk.model.chat.errors import SpelledMarkError
from ropewalk.model.chat.folder import named_tokens
from ropewalk.model.chat.task import CharSpan, Prompt

_FIRST_ALIAS = 0x100000  # private use, plane 16: one character for each mark


@dataclass(frozen=True)
class Encoded:
    """Token ids and, for each, the characters of the text that it stands for. `special` are ids."""

    ids: list[int]
    offsets: list[CharSpan]
    special: Set[int] = frozenset()

    def mask(self, spans: Sequence[CharSpan]) -> list[int]:
        """1 from the token with the first character of each span to the one with its last, else 0.

        A special token may swallow the white space behind it; if that is the beginning of a span, it does not count.
        """
        mask = [0] * len(self.ids)
        place = 0
        for begin, end in sorted(spans):
            while place < len(mask) and self._is_before(place, begin):
                place += 1
            while place < len(mask) and self.offsets[place][0] < end:
                mask[place] = 1
                place += 1
        return mask

    def _is_before(self, place: int, begin: int) -> bool:
        first, end = self.offsets[place]
        return end <= begin or (first < begin and self.ids[place] in self.special)


class Encoder:
    """The tokenizer of a folder, for any thread. Raises OSError or ValueError when there is none.

    It is read again for what most texts never need: with special tokens ignored for plain text that spells one, with
    aliases for chats that do.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.tokenizer = _load(folder)
        added = self.tokenizer.get_added_tokens_decoder()
        self._ids = {token.content: number for number, token in added.items() if not token.content.isspace()}
        self._special = {number for number, token in added.items() if token.special and token.content in self._ids}
        self._marks = self._special - {self._ids.get(name, -1) for name in _of_text(self.tokenizer.model)}
        spellings = sorted(self._ids, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, spellings)) or "(?!)")
        self._lock = threading.Lock()
        self._plain: Tokenizer | None = None
        self._aliased: _AliasedTokenizer | None = None

    def text(self, text: str) -> list[int]:
        """A document or the prompt of a completion: nothing is put around it, and no special token comes of it."""
        return self.texts([text])[0]

    def texts(self, texts: Sequence[str]) -> list[list[int]]:
        """Several texts at once. Only encoding in batches gives up Python's lock meanwhile."""
        ids = [encoding.ids for encoding in self.tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
        spelled = [place for place, numbers in enumerate(ids) if not self._special.isdisjoint(numbers)]
        if spelled:
            plain = self._without_special_tokens()
            again = plain.encode_batch_fast([texts[place] for place in spelled], add_special_tokens=False)
            for place, encoding in zip(spelled, again, strict=True):
                ids[place] = encoding.ids
        return ids

    def marked(self, text: str, marks: Sequence[CharSpan]) -> Encoded:
        """A text in which tokens are meant at `marks` (in order) and nowhere else. Raises SpelledMarkError."""
        meant = [(begin, end) for begin, end in marks if text[begin:end] in self._ids]
        wanted = [number for number in (self._ids[text[begin:end]] for begin, end in meant) if number in self._marks]
        if [match.span() for match in self._pattern.finditer(text)] == meant:
            (encoding,) = self.tokenizer.encode_batch([text], add_special_tokens=False)
            if self._marks_of(encoding.ids) == wanted:
                return Encoded(encoding.ids, encoding.offsets, self._special)
        encoded = replace(self._with_aliases().encode(text, meant), special=self._special)
        if self._marks_of(encoded.ids) != wanted:
            raise SpelledMarkError("a message spells a special token, and this tokenizer cannot read it as plain text")
        return encoded

    def prompt(self, prompt: Prompt) -> Encoded:
        """A rendered chat. Raises SpelledMarkError."""
        return self.marked(prompt.text, prompt.marks)

    def special_ids(self, texts: Sequence[str]) -> frozenset[int]:
        """The special tokens among texts."""
        return frozenset(self._ids[text] for text in texts if self._ids.get(text) in self._special)

    def _marks_of(self, ids: Sequence[int]) -> list[int]:
        return [number for number in ids if number in self._marks]

    def _without_special_tokens(self) -> Tokenizer:
        with self._lock:
            if self._plain is None:
                self._plain = _load(self._folder)
                self._plain.encode_special_tokens = True
        return self._plain

    def _with_aliases(self) -> "_AliasedTokenizer":
        with self._lock:
            if self._aliased is None:
                self._aliased = _AliasedTokenizer(_load(self._folder))
        return self._aliased


class _AliasedTokenizer:
    """A tokenizer whose added tokens, but for white space, answer to aliases only."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        added = tokenizer.get_added_tokens_decoder()
        content = json.loads(tokenizer.to_str())
        content["added_tokens"] = [token for token in content["added_tokens"] if token["content"].isspace()]
        self._tokenizer = Tokenizer.from_str(json.dumps(content))
        self._aliases: dict[str, str] = {}
        self._ids: dict[int, int] = {}  # the original's, where they differ
        for place, (number, token) in enumerate(added.items()):
            alias = token.content
            if not token.content.isspace():
                alias = chr(_FIRST_ALIAS + place) * len(token.content)
                self._aliases[token.content] = alias
                self._tokenizer.add_tokens([_like(token, alias)])
            own = self._tokenizer.token_to_id(alias)
            assert own is not None, "it was just added"
            self._ids[own] = number

    def encode(self, text: str, marks: Sequence[CharSpan]) -> Encoded:
        pieces, end = [], 0
        for begin, stop in marks:
            pieces += [text[end:begin], self._aliases[text[begin:stop]]]
            end = stop
        aliased = "".join([*pieces, text[end:]])
        (encoding,) = self._tokenizer.encode_batch([aliased], add_special_tokens=False)
        return Encoded([self._ids.get(number, number) for number in encoding.ids], encoding.offsets)


def _of_text(model: Any) -> list[str]:
    """Tokens that stand for characters which the vocabulary lacks, so that any text may have them."""
    return [str(getattr(model, "unk_token", None)), *(f"<0x{byte:02X}>" for byte in range(256))]


def _like(token: Any, name: str) -> AddedToken:
    return AddedToken(
        name, lstrip=token.lstrip, rstrip=token.rstrip, single_word=token.single_word, normalized=False, special=False
    )


def _load(folder: Path) -> Tokenizer:
    """Every token of a text, however long; the tokens that the configuration names are special, as in transformers."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    added = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    named = [one for one in named_tokens(folder) if one not in added and tokenizer.token_to_id(one) is not None]
    tokenizer.add_special_tokens(named)
    return tokenizer
