"""Who is kept, held out or dropped, on plain values."""

import random

import numpy as np
import pytest
import rensa

from ropewalk.preprocessing.domain.contamination import contaminated, distinct, find_pairs
from ropewalk.preprocessing.domain.dedup import NUM_HASHES, exact_repeats, near_repeats
from ropewalk.preprocessing.domain.held_out import choose_held_out
from ropewalk.preprocessing.domain.quality import fault, score
from ropewalk.preprocessing.domain.sampling import TokenizerSample
from ropewalk.preprocessing.domain.states import HELD_OUT, KEPT, Entry, count_states, first_states
from ropewalk.preprocessing.domain.words import hash_words, ngrams

PROSE = "It was a bright cold day in April, and the clocks were striking thirteen. " * 3


def scores_of(text: str) -> dict[str, float]:
    return score(text, int(hash_words([text.encode()]).lengths[0])).as_record()


def signatures_of(documents: list[list[int]]) -> np.ndarray:
    """MinHash rows of documents given as sets of shingles."""
    flat = np.random.default_rng(5).permutation(1_000_000).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    hashes = flat[np.concatenate(documents)]
    offsets = np.concatenate(([0], np.cumsum([len(document) for document in documents]))).astype(np.uint64)
    matrix = rensa.RMinHash.digest_matrix_from_flat_token_hashes(hashes, offsets, NUM_HASHES, 1)
    return np.array(matrix.to_rows(), dtype=np.uint32)


@pytest.mark.parametrize(
    ("text", "profile", "reason"),
    [
        (PROSE, "prose", None),
        ("Der Regen fällt seit gestern auf die Dächer der Stadt, und niemand geht.", "prose", None),
        ("зимой в лесу тихо и светло потому что снег лежит на ветках", "prose", None),
        ("just a few words", "prose", "too_short"),
        ("1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 word", "prose", "few_letters"),
        ("antidisestablishmentarianism " * 12, "prose", "long_words"),
        ("and so on...\nand again\n" * 1 + "# a # b # c # d # e # f # g", "prose", "symbols"),
        ("the same old line again and again\n" * 4, "prose", "repeated_lines"),
        ("\n".join(f"- item number {chr(97 + n) * 3} of the list" for n in range(12)), "prose", "bullets"),
        ("def f(x):\n    return x + 1\n\ndef g(y):\n    return f(y) * f(y) - y\n", "code", None),
        ("x = 1\n", "code", "too_short"),
        ("table = [" + "some word, " * 120 + "]\n", "code", "long_lines"),
        ("data = (\n" + "  0x00, 0x01, 0x02, 0x03,\n" * 30 + ")\n", "code", "few_letters"),
    ],
)
def test_each_profile_drops_what_it_names(text: str, profile: str, reason: str | None) -> None:
    assert fault(scores_of(text), profile) == reason  # type: ignore[arg-type]


def test_scores_count_lines_letters_and_repetitions() -> None:
    found = scores_of("ab 12\nab 12\n\nüx\n")
    assert found["num_lines"] == 3
    assert found["max_line_bytes"] == 5
    assert found["letter_share"] == pytest.approx(6 / 10)
    assert found["digit_share"] == pytest.approx(4 / 10)
    assert found["duplicate_line_share"] == pytest.approx(1 / 3)
    assert found["mean_word_chars"] == pytest.approx(10 / 5)


def test_the_first_of_exact_repeats_is_kept() -> None:
    assert exact_repeats(["a", "b", "a", "a"]).tolist() == [False, False, True, True]


def test_planted_near_duplicates_are_found_at_the_published_rate() -> None:
    """Recall within binomial bands of 1 - (1 - s^8)^14, and no false alarm among unrelated pairs."""
    random.seed(3)
    num_pairs, size = 300, 200
    for similarity, low in [(0.95, 0.99), (0.85, 0.93), (0.5, 0.0)]:
        documents = []
        for _ in range(num_pairs):
            shared = round(2 * similarity * size / (1 + similarity))
            pool = random.sample(range(1_000_000), 2 * size - shared)
            documents += [pool[:size], pool[:shared] + pool[size:]]
        repeats = near_repeats(signatures_of(documents), np.ones(len(documents), dtype=np.bool_))
        recall = repeats[1::2].mean()
        assert not repeats[0::2].any()
        assert recall >= low
        if similarity == 0.5:
            assert recall == 0.0


def test_a_chain_of_small_changes_is_not_dropped_as_a_whole() -> None:
    chain = [list(range(start, start + 200)) for start in range(0, 200, 20)]  # neighbours: Jaccard 0.82
    repeats = near_repeats(signatures_of(chain), np.ones(len(chain), dtype=np.bool_))
    assert repeats.any()
    kept = [set(chain[at]) for at in range(len(chain)) if not repeats[at]]
    assert len(kept) >= 3
    for at in np.flatnonzero(repeats):
        assert max(len(set(chain[at]) & other) / len(set(chain[at]) | other) for other in kept) > 0.6


def test_a_dropped_document_drops_no_other() -> None:
    rows = signatures_of([list(range(200))] * 3)
    assert near_repeats(rows, np.array([False, True, True])).tolist() == [False, False, True]


def test_the_split_is_stable_when_the_corpus_grows() -> None:
    paths = [f"folder/file_{number}.py" for number in range(2000)]
    small, large = choose_held_out(paths[:1000], 0.05), choose_held_out(paths, 0.05)
    assert {at for at in large if at < 1000} == small
    assert 60 < len(large) < 140


@pytest.mark.parametrize(("num_documents", "expected"), [(1, 1), (4, 1), (50, 10), (200, 20)])
def test_small_corpora_hold_out_up_to_a_fifth_but_at_least_one(num_documents: int, expected: int) -> None:
    assert len(choose_held_out([f"{n}" for n in range(num_documents)], 1e-9)) == expected


def test_a_training_document_that_quotes_a_held_out_one_is_dropped() -> None:
    held_out = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
    training = [f"before {held_out} after", "one two three four five six seven eight nine ten eleven twelve thirteen"]
    grams = distinct(ngrams(hash_words([held_out.encode()]), 13).hashes)
    pairs = find_pairs(ngrams(hash_words([text.encode() for text in training]), 13), grams)
    own = find_pairs(ngrams(hash_words([held_out.encode()]), 13), grams)
    assert contaminated(pairs, own, 3) == {0}  # the second has one 13-gram in common, two are allowed


def test_a_licence_header_in_many_documents_gives_nothing_away() -> None:
    header = " ".join(f"licence{number}" for number in range(30))
    documents = [f"{header} body{number}".encode() for number in range(12)]
    grams = distinct(ngrams(hash_words(documents[:1]), 13).hashes)
    training = find_pairs(ngrams(hash_words(documents[1:]), 13), grams)
    own = find_pairs(ngrams(hash_words(documents[:1]), 13), grams)
    assert contaminated(training, own, 12) == set()
    assert contaminated(training[training[:, 0] < 5], own, 6) == {0, 1, 2, 3, 4}


def test_a_small_corpus_is_the_tokenizers_sample_as_a_whole() -> None:
    small = TokenizerSample(num_documents=10, num_bytes=5_000_000)
    assert small.cut_chars == 10_000_000
    assert all(small.takes(f"{number}") for number in range(100))
    large = TokenizerSample(num_documents=1_000_000, num_bytes=10**12)
    assert large.cut_chars == 10_000
    assert 2 <= sum(large.takes(f"{number}") for number in range(1000)) <= 30


def test_every_document_ends_in_one_state_and_precedence_is_by_segment_and_id() -> None:
    def entry(segment: int, place: int, doc_id: str, text: str) -> Entry:
        return Entry(
            segment=segment,
            place=place,
            doc_id=doc_id,
            path=f"{segment}/{place}",
            num_bytes=len(text),
            content=text,
            is_conversation=False,
            scores=scores_of(text),
        )

    different = [f"{word} {PROSE}" for word in ("red", "green", "blue")]
    entries = [
        entry(0, 0, "z", PROSE),
        entry(0, 1, "a", PROSE),
        entry(0, 2, "b", "short"),
        *[entry(1, place, f"d{place}", text) for place, text in enumerate(different)],
        entry(1, 3, "0", PROSE),
    ]
    signatures = signatures_of([list(range(100 * at, 100 * at + 50)) for at in range(len(entries))])
    states = first_states(entries, signatures, "prose", 0.01)
    assert states[0] == "exact_duplicate"
    assert states[2] == "too_short"
    assert states[6] == "exact_duplicate"
    assert sorted([states[1], *states[3:6]]) == [HELD_OUT, KEPT, KEPT, KEPT]
    assert count_states(states) == (3, 1, {"exact_duplicate": 2, "too_short": 1})
