"""Word and n-gram hashes agree with the plain definition, whatever documents lie side by side."""

import re

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ropewalk.preprocessing.domain.normalise import normalise
from ropewalk.preprocessing.domain.words import batches, hash_words, ngrams

texts = st.lists(st.text(alphabet="aAbZ_09 .,\n\tüß中文é", max_size=30), min_size=1, max_size=6)


def words_of(text: str) -> list[str]:
    lowered = "".join(char.lower() if char.isascii() else char for char in text)
    return re.findall("[\u3000-\U0010ffff][^\\W\u3000-\U0010ffff]*|[^\\W\u3000-\U0010ffff]+", lowered)


@settings(max_examples=200, deadline=None)
@given(texts)
def test_two_words_hash_alike_exactly_when_they_are_alike(documents: list[str]) -> None:
    found = hash_words([text.encode() for text in documents])
    expected = [words_of(text) for text in documents]
    assert found.lengths.tolist() == [len(words) for words in expected]
    names: dict[str, int] = {}
    for word, value in zip([word for words in expected for word in words], found.hashes.tolist(), strict=True):
        assert names.setdefault(word, value) == value
    assert len(set(names.values())) == len(names)


@settings(max_examples=100, deadline=None)
@given(texts, st.integers(1, 6))
def test_ngrams_stay_within_their_document(documents: list[str], n: int) -> None:
    together = ngrams(hash_words([text.encode() for text in documents]), n)
    for place, text in enumerate(documents):
        alone = ngrams(hash_words([text.encode()]), n)
        own = together.hashes[together.offsets[place] : together.offsets[place + 1]]
        assert own.tolist() == alone.hashes.tolist()
        assert len(own) == max(0, len(words_of(text)) - n + 1)


def test_the_order_of_words_matters() -> None:
    grams = ngrams(hash_words([b"a b c", b"c b a"]), 3)
    assert len(np.unique(grams.hashes)) == 2


def test_groups_hold_every_text_once_in_order() -> None:
    given_texts = [bytes([65 + number]) * 400_000 for number in range(7)]
    groups = list(batches(given_texts))
    assert [text for group in groups for text in group] == given_texts
    assert max(len(group) for group in groups) == 3


def test_one_spelling_for_the_same_text() -> None:
    assert normalise("e\u0301\r\na\rb\x00\x0c\x1b\tc", "code") == "\u00e9\na\nb\tc"
    assert normalise("a\n\n\n\n\n\nb", "prose") == "a\n\n\nb"
    assert normalise("a\n\n\n\n\n\nb", "code") == "a\n\n\n\n\n\nb"
