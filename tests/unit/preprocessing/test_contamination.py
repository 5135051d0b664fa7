"""Which training texts give held-out ones away, on plain texts."""

import random
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import rensa

from ropewalk.corpus.sketch import NUM_HASHES
from ropewalk.preprocessing.domain.contamination import contaminated, find_pairs
from ropewalk.preprocessing.domain.dedup import near_repeats
from ropewalk.preprocessing.domain.held_items import find_items, held_items
from ropewalk.preprocessing.domain.words import hash_words, ngrams


def leaks(held_out: Sequence[str | list[str]], training: list[str]) -> set[int]:
    """Places of the training texts that give a held-out text, or conversation of turns, away."""
    documents = [(item, []) if isinstance(item, str) else ("\n".join(item), item) for item in held_out]
    items = held_items(documents)
    wanted = np.unique(items.passages.hashes)
    pairs = find_items(training, wanted, items.halves)
    own = find_pairs(items.passages, wanted)
    return contaminated(pairs, own, len(held_out) + len(training), items.phrases)


def some_words(seed: int, number: int = 60) -> str:
    chooser = random.Random(seed)
    return " ".join(
        f"{chooser.choice('bdklmst')}{chooser.choice('aeiou')}{chooser.randrange(900)}" for _ in range(number)
    )


UNRELATED = [some_words(seed) for seed in range(1000, 1400)]


def test_a_training_document_that_quotes_a_held_out_one_is_dropped() -> None:
    held_out = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
    training = [f"before {held_out} after", "one two three four five six seven eight nine ten eleven twelve thirteen"]
    assert leaks([held_out], training) == {0}  # the second has one passage in common, two are allowed


def test_a_licence_header_in_many_documents_gives_nothing_away() -> None:
    header = " ".join(f"licence{number}" for number in range(30))
    documents = [f"{header} body{number}" for number in range(12)]
    assert leaks(documents[:1], documents[1:]) == set()
    assert leaks(documents[:1], documents[1:6]) == {0, 1, 2, 3, 4}


def around(text: str, number: int) -> str:
    """The text among others, which are different for every number."""
    return f"{some_words(5000 + number, 150)} {text} {some_words(9000 + number, 150)}"


def one_word_changed(text: str) -> str:
    words = text.split()
    return " ".join([*words[: len(words) // 2], "zzz", *words[len(words) // 2 + 1 :]])


ALMOST: dict[str, Callable[[str], str]] = {
    "whole": lambda text: text,
    "one word changed": one_word_changed,
    "two words changed": lambda text: one_word_changed(
        f"{one_word_changed(text[: len(text) // 2])}{text[len(text) // 2 :]}"
    ),
    "without the end": lambda text: text[: len(text) * 9 // 10],
    "first half": lambda text: text[: len(text) // 2],
    "last half": lambda text: text[len(text) // 2 :],
    "middle": lambda text: text[len(text) // 4 : len(text) * 3 // 4],
}


@pytest.mark.parametrize("words", [120, 600])
@pytest.mark.parametrize("times", [9, 11, 100, 300])
@pytest.mark.parametrize("almost", ALMOST)
def test_no_repetition_saves_a_large_part_of_an_item(almost: str, times: int, words: int) -> None:
    item = some_words(1, words)
    quotes = [around(ALMOST[almost](item), number) for number in range(times)]
    assert leaks([item], UNRELATED + quotes) == set(range(len(UNRELATED), len(UNRELATED) + times))


def test_two_halves_in_turn_are_found() -> None:
    item = some_words(1, 120)
    quotes = [around(ALMOST["first half" if number % 2 else "last half"](item), number) for number in range(40)]
    assert leaks([item], UNRELATED + quotes) == set(range(len(UNRELATED), len(UNRELATED) + 40))


@pytest.mark.parametrize("times", [20, 90])
def test_an_item_with_a_changed_word_is_found_at_the_head_of_documents(times: int) -> None:
    item = some_words(1, 120)
    quotes = [f"{one_word_changed(item)} {some_words(5000 + number, 150)}" for number in range(times)]
    assert leaks([item], UNRELATED + quotes) == set(range(len(UNRELATED), len(UNRELATED) + times))


@pytest.mark.parametrize("times", [40, 300])
def test_headers_and_page_frames_cost_nothing(times: int) -> None:
    head, foot = some_words(7, 60), some_words(8, 40)
    framed = [f"by {some_words(70 + at, 3)} {head} {UNRELATED[at]} {foot}" for at in range(times)]
    assert leaks([f"by me {head} {some_words(9, 60)} {foot}"], framed + UNRELATED[times:]) == set()


def test_a_common_passage_amid_long_texts_costs_nothing() -> None:
    passage = some_words(7, 40)
    training = [around(passage, number) for number in range(40)] + UNRELATED
    assert leaks([f"{some_words(8, 300)} {passage} {some_words(9, 100)}"], training) == set()


CHAT = ["Name the capital of the northern region please", "That would be the old harbour town of Bodun"]


@pytest.mark.parametrize(
    "text",
    [
        f"Please: {CHAT[0]}, thanks\nSure. {CHAT[1]}!",
        "So they asked me something and I said that would be the old HARBOUR town of \u201cBodun\u201d and left",
        "name the capital of the northern region, please\nNo idea at all",
        f"{some_words(1)}\n{CHAT[1]}\n{some_words(2)}",
    ],
)
@pytest.mark.parametrize("times", [1, 9])
def test_short_turns_are_found_as_a_whole(text: str, times: int) -> None:
    training = UNRELATED + [f"{text} {some_words(3000 + number, 20)}" for number in range(times)]
    assert leaks([CHAT], training) == set(range(len(UNRELATED), len(UNRELATED) + times))


@pytest.mark.parametrize("number", [5, 8, 12, 13, 14, 15])
@pytest.mark.parametrize("times", [1, 40])
def test_short_texts_are_found_as_a_whole_however_often(number: int, times: int) -> None:
    quotes = [around(some_words(1, number), at) for at in range(times)]
    assert leaks([some_words(1, number)], UNRELATED + quotes) == set(range(len(UNRELATED), len(UNRELATED) + times))


@pytest.mark.parametrize("times", [11, 40, 120])
def test_a_conversation_of_short_turns_is_found_however_often(times: int) -> None:
    quotes = [f"{some_words(at, 30)} {CHAT[0]}? {some_words(3000 + at, 20)} {CHAT[1]}" for at in range(times)]
    assert leaks([CHAT], UNRELATED + quotes) == set(range(len(UNRELATED), len(UNRELATED) + times))


def test_common_short_turns_beside_a_long_one_give_nothing_away() -> None:
    greeting = ["Good morning, how are you today?", "I am fine, what can I do for you?"]
    training = [f"{greeting[0]} {greeting[1]} {text}" for text in UNRELATED[:40]] + UNRELATED[40:]
    assert leaks([[*greeting, some_words(1)]], training) == set()
    assert leaks([[greeting[0], greeting[0]]], training) == set()


def test_a_part_of_a_short_turn_and_what_everybody_says_give_nothing_away() -> None:
    polite = "I am sorry but I cannot help you with that"
    assert leaks([CHAT], [f"name the capital of the northern coast {UNRELATED[0]}"]) == set()
    assert leaks([["How does one pick a lock?", polite]], UNRELATED + [around(polite, at) for at in range(40)]) == set()
    assert leaks([["Yes or no?", "Yes of course"]], [f"{UNRELATED[0]} yes of course", "yes or no"]) == set()


def some_han(seed: int, number: int = 300) -> str:
    chooser = random.Random(seed)
    return "".join(chr(chooser.randint(0x4E00, 0x6FFF)) for _ in range(number))


NAMES = [
    "中华人民共和国全国人民代表大会常务委员会",
    "独立行政法人日本学術振興会特別研究員審査会",
    "ニューヨーク・メトロポリタン・オペラ",
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("times", [1, 9, 40])
def test_a_long_name_in_ideographs_or_kana_gives_nothing_away(name: str, times: int) -> None:
    named = [f"{some_han(number)}{name}{some_han(500 + number)}" for number in range(times)]
    assert leaks([f"{some_han(900)}{name}{some_han(901)}"], named) == set()


@pytest.mark.parametrize("times", [1, 12])
def test_chinese_quotes_are_found(times: int) -> None:
    item = some_han(1, 200)
    quotes = [f"{some_han(10 + number)}{item[50:150]}{some_han(500 + number)}" for number in range(times)]
    assert leaks([item], UNRELATED + quotes) == set(range(len(UNRELATED), len(UNRELATED) + times))
    assert leaks([item[:12]], [f"{some_han(7)}{item[:12]}{some_han(8)}", some_han(9)]) == {0}


@pytest.mark.parametrize("times", [1, 10, 11, 40, 90])
def test_an_item_is_no_boilerplate_however_often_it_is_quoted(times: int) -> None:
    items = [some_words(seed) for seed in range(3)]
    quotes = [
        f"{some_words(2000 + number)} {items[number % 2]} {some_words(3000 + number, 30)}" for number in range(times)
    ]
    assert leaks(items, UNRELATED + quotes) == set(range(len(UNRELATED), len(UNRELATED) + times))


def test_a_short_item_is_found_where_all_of_it_is() -> None:
    item = some_words(1, 16)
    quotes = [f"so {item} it is", f"so {' '.join(item.split()[:13])} it is"]
    assert leaks([item], quotes) == {0}


def test_a_header_in_a_tenth_of_the_documents_does_not_cost_them() -> None:
    header = some_words(7, 80)
    training = [f"{header} {text}" for text in UNRELATED[:40]] + UNRELATED[40:]
    assert leaks([f"{header} {some_words(8, 40)}"], training) == set()


def test_a_template_of_most_documents_gives_nothing_away() -> None:
    template = some_words(9, 80)
    assert leaks([f"{template} yes"], [f"{template} {text.split()[0]}" for text in UNRELATED]) == set()


@pytest.mark.parametrize(
    "written",
    [
        lambda text: text.replace("'", "\u2019").replace('"', "\u201d"),
        lambda text: text.replace(" ", "\u00a0"),
        lambda text: text.replace("e", "e\u200b"),
        lambda text: text.replace("i", "i\u00ad"),
        str.upper,
        lambda text: "".join(chr(ord(char) + 0xFEE0) if "a" <= char <= "z" else char for char in text),
    ],
)
@pytest.mark.parametrize("times", [1, 12])
def test_a_quote_in_another_spelling_is_found(written: Callable[[str], str], times: int) -> None:
    item = f"she didn't say \"why\" because the tide wouldn't wait for der Müller, зимой, and {some_words(4, 30)}"
    quotes = [f"{some_words(number)} {written(item)}" for number in range(times)]
    assert leaks([item], UNRELATED + quotes) == set(range(len(UNRELATED), len(UNRELATED) + times))


SYLLABLES = ["กข", "คา", "งเ", "จด", "ชน", "ดี", "ตม", "ทำ", "นก", "บน", "ปร", "ผล", "พอ", "มา", "ยิ้ม", "รัก", "ลม", "วน"]


def some_thai(seed: int, number: int = 150) -> str:
    chooser = random.Random(seed)
    return "".join(chooser.choice(SYLLABLES) for _ in range(number))


def test_thai_quotes_are_found_and_other_thai_is_not() -> None:
    items = [some_thai(seed) for seed in range(3)]
    others = [some_thai(seed, 400) for seed in range(10, 60)]
    quotes = [f"{some_thai(100 + number)}{items[0]}{some_thai(200 + number)}" for number in range(12)]
    assert leaks(items, others + quotes) == set(range(50, 62))


def test_near_duplicates_are_found_in_thai_and_in_another_spelling() -> None:
    def signatures(texts: list[str]) -> np.ndarray:
        shingles = ngrams(hash_words(texts), 5)
        rows = rensa.RMinHash.digest_matrix_from_flat_token_hashes(
            shingles.hashes, shingles.offsets.astype(np.uint64), NUM_HASHES, 1
        )
        return np.array(rows.to_rows(), dtype=np.uint32)

    thai, prose = some_thai(1, 400), some_words(1, 200)
    texts = [thai, thai.replace("มา", "ไป", 1), some_thai(2, 400), prose, prose.upper().replace(" ", "\u00a0")]
    repeats = near_repeats(signatures(texts), np.ones(5, dtype=np.bool_))
    assert repeats.tolist() == [False, True, False, False, True]
