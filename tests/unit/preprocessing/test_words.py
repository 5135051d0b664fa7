"""Word and n-gram hashes agree with the plain definition, whatever documents lie side by side."""

import re
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ropewalk.preprocessing.domain.normalise import normalise
from ropewalk.preprocessing.domain.scripts import fold, fold_whole
from ropewalk.preprocessing.domain.words import batches, hash_words, ngrams, passages

texts = st.lists(st.text(alphabet="aAbZ_09 .,\n\tüß中文é\u2019\u200bб", max_size=30), min_size=1, max_size=6)


def words_of(text: str) -> list[str]:
    """The plain definition, for scripts with spaces and ideographs."""
    return re.findall("[\u4e00-\u9fff]|[^\\W\u4e00-\u9fff]+", fold(text))


def hashes_of(text: str) -> list[int]:
    return hash_words([text]).hashes.tolist()


@settings(max_examples=200, deadline=None)
@given(texts)
def test_two_words_hash_alike_exactly_when_they_are_alike(documents: list[str]) -> None:
    found = hash_words(documents)
    expected = [words_of(text) for text in documents]
    assert found.lengths.tolist() == [len(words) for words in expected]
    names: dict[str, int] = {}
    for word, value in zip([word for words in expected for word in words], found.hashes.tolist(), strict=True):
        assert names.setdefault(word, value) == value
    assert len(set(names.values())) == len(names)


@settings(max_examples=100, deadline=None)
@given(texts, st.integers(1, 6))
def test_ngrams_stay_within_their_document(documents: list[str], n: int) -> None:
    together = ngrams(hash_words(documents), n)
    for place, text in enumerate(documents):
        alone = ngrams(hash_words([text]), n)
        own = together.hashes[together.offsets[place] : together.offsets[place + 1]]
        assert own.tolist() == alone.hashes.tolist()
        assert len(own) == max(0, len(words_of(text)) - n + 1)


def test_the_order_of_words_matters() -> None:
    grams = ngrams(hash_words(["a b c", "c b a"]), 3)
    assert len(np.unique(grams.hashes)) == 2


def test_groups_hold_every_text_once_in_order() -> None:
    given_texts = [chr(65 + number) * 400_000 for number in range(7)]
    groups = list(batches(given_texts))
    assert [text for group in groups for text in group] == given_texts
    assert max(len(group) for group in groups) == 3


def test_one_spelling_for_the_same_text() -> None:
    assert normalise("e\u0301\r\na\rb\x00\x0c\x1b\tc", "code") == "\u00e9\na\nb\tc"
    assert normalise("a\n\n\n\n\n\nb", "prose") == "a\n\n\nb"
    assert normalise("a\n\n\n\n\n\nb", "code") == "a\n\n\n\n\n\nb"


@pytest.mark.parametrize(
    ("plain", "written"),
    [
        ('don\'t say "never" again', "don\u2019t say \u201cnever\u201d again"),
        ("it is ten pm", "it\u00a0is\u202ften\u2007pm"),
        ("it is ten pm", "it i\u200bs te\u00adn p\u2060m\ufeff"),
        ("WINTER im Gebirge", "winter im gebirge"),
        ("ЗИМОЙ В ЛЕСУ ТИХО", "зимой в лесу тихо"),
        ("ΟΔΟΣ ΚΑΙ ΦΩΣ", "οδος και φως"),
        ("die STRASSE hinab", "die Straße hinab"),
        ("a fine office", "a \ufb01ne o\ufb03ce"),
        ("version 2 of it", "\uff56\uff45\uff52\uff53\uff49\uff4f\uff4e \uff12 of it"),
        ("mi\u0301o", "m\u00edo"),
        ("heart \u2764 red", "heart \u2764\ufe0f red"),
    ],
)
def test_spellings_that_look_alike_have_the_same_words(plain: str, written: str) -> None:
    assert hashes_of(plain) == hashes_of(written)
    assert fold_whole(plain) == fold_whole(written)


def test_white_space_makes_no_difference_to_a_whole_text_but_signs_do() -> None:
    assert fold_whole("a\r\n\n b\u3000c ") == "a b c"
    assert fold_whole("2+2") != fold_whole("2-2")


THAI = "นายท่าเรือจดบันทึกเรือทุกลำที่เข้ามาจอด ทุกเช้าเธอเขียนสภาพอากาศและน้ำขึ้นน้ำลง"


def test_a_passage_without_spaces_has_the_same_words_wherever_it_stands() -> None:
    passage = THAI.replace(" ", "")
    alone = hashes_of(passage)
    assert 10 <= len(alone) <= len(passage) / 2
    inside = hashes_of(f"ดังนั้น{passage}และต่อไป")
    assert any(inside[at : at + len(alone) - 2] == alone[1:-1] for at in range(len(inside)))


def test_marks_never_begin_a_word_and_a_change_of_script_always_does() -> None:
    assert len(hashes_of("കൊച്ചി")) == len(hashes_of("சென்னை")) == len(hashes_of("e\u0323\u0302f")) == 1
    assert len(hashes_of("日本abc")) == 3
    assert hashes_of("abc日") == hashes_of("abc 日")
    assert len(hashes_of("안녕 세상")) == 2


@settings(max_examples=100, deadline=None)
@given(texts, st.integers(1, 9))
def test_passages_are_alike_wherever_they_stand_and_stay_within_their_document(
    documents: list[str], halves: int
) -> None:
    together = passages(hash_words(documents), halves)
    names: dict[tuple[str, ...], int] = {}
    for place, text in enumerate(documents):
        own = together.hashes[together.offsets[place] : together.offsets[place + 1]].tolist()
        expected = list(runs_worth(words_of(text), halves))
        assert len(own) == len(expected)
        assert [names.setdefault(run, value) for run, value in zip(expected, own, strict=True)] == own
    assert len(set(names.values())) == len(names)


def runs_worth(words: list[str], halves: int) -> Iterator[tuple[str, ...]]:
    """The plain definition: an ideograph is worth one half, any other word two."""
    for start in range(len(words)):
        for end in range(start + 1, len(words) + 1):
            if sum(1 if "\u4e00" <= word <= "\u9fff" else 2 for word in words[start:end]) >= halves:
                yield tuple(words[start:end])
                break
