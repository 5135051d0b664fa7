"""Who is kept, held out or dropped, on plain values."""

import base64
import random
from collections.abc import Callable

import numpy as np
import pytest
import rensa

from ropewalk.corpus.sketch import NUM_HASHES
from ropewalk.corpus.trained import KEPT
from ropewalk.preprocessing.domain.dedup import exact_repeats, near_repeats
from ropewalk.preprocessing.domain.held_out import Registry
from ropewalk.preprocessing.domain.quality import fault, score
from ropewalk.preprocessing.domain.sampling import TokenizerSample
from ropewalk.preprocessing.domain.states import HELD_OUT, DocumentFacts, count_states, first_states
from ropewalk.preprocessing.domain.words import hash_words

PROSE = "It was a bright cold day in April, and the clocks were striking thirteen. " * 3


def scores_of(text: str) -> dict[str, float]:
    return score(text, int(hash_words([text]).lengths[0]))


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


ARTICLE_ONE = {  # of the declaration of human rights
    "Thai": "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ ต่างมีเหตุผลและมโนธรรม และควรปฏิบัติต่อกันด้วยเจตนารมณ์แห่งภราดรภาพ",
    "Lao": "ມະນຸດເກີດມາມີສິດເສລີພາບ ແລະ ສະເໝີໜ້າກັນໃນທາງກຽດສັກສີ ແລະ ທາງສິດດ້ວຍມີສະຕິສຳປັດຊັນຍະແລະມີມະໂນທຳຈຶ່ງຕ້ອງປະພຶດຕົນຕໍ່ກັນໃນທາງພີ່ນ້ອງ",
    "Khmer": "មនុស្សទាំងអស់កើតមកមានសេរីភាពនិងភាពស្មើៗគ្នាក្នុងសេចក្ដីថ្លៃថ្នូរនិងសិទ្ធិ។ មនុស្សមានវិចារណញ្ញាណនិងសតិសម្បជញ្ញៈជាប់ពីកំណើត",
    "Burmese": "လူတိုင်းသည်တူညီလွတ်လပ်သောဂုဏ်သိက္ခာဖြင့်လည်းကောင်း၊တူညီလွတ်လပ်သောအခွင့်အရေးများဖြင့်လည်းကောင်း၊မွေးဖွားလာသူများဖြစ်သည်။",
    "Tibetan": "འགྲོ་བ་མིའི་རིགས་རྒྱུད་ཡོངས་ལ་སྐྱེས་ཙམ་ཉིད་ནས་ཆེ་མཐོངས་དང་། ཐོབ་ཐང་གི་རང་དབང་འདྲ་མཉམ་དུ་ཡོད་ལ། ཁོང་ཚོར་རང་བྱུང་གི་བློ་རྩལ་དང་",
    "Malayalam": "മനുഷ്യരെല്ലാവരും തുല്യാവകാശങ്ങളോടും അന്തസ്സോടും സ്വാതന്ത്ര്യത്തോടുംകൂടി ജനിച്ചിട്ടുള്ളവരാണ്. അന്യോന്യം ഭ്രാതൃഭാവത്തോടെ "
    "പെരുമാറുവാനാണ് മനുഷ്യന് വിവേകബുദ്ധിയും മനസാക്ഷിയും സിദ്ധമായിരിക്കുന്നത്.",
    "Tamil": "மனிதப் பிறவியினர் சகலரும் சுதந்திரமாகவே பிறக்கின்றனர்; அவர்கள் மதிப்பிலும், உரிமைகளிலும் சமமானவர்கள், அவர்கள் "
    "நியாயத்தையும் மனச்சாட்சியையும் இயற்பண்பாகப் பெற்றவர்கள்.",
    "Korean": "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다. 인간은 이성을 부여받았다",
    "Japanese": "すべての人間は、生れながらにして自由であり、かつ、尊厳と権利とについて平等である。",
    "Chinese": "人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心，并应以兄弟关系的精神相对待。",
    "Hindi": "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है।",
}


@pytest.mark.parametrize("language", ARTICLE_ONE)
def test_prose_is_kept_in_scripts_with_and_without_spaces(language: str) -> None:
    assert fault(scores_of(ARTICLE_ONE[language]), "prose") is None


LONG_WORDS = {
    "German": "Rechtsschutzversicherungsgesellschaften und Donaudampfschifffahrtsgesellschaften gehören zu den "
    "längsten Wörtern; Bundesausbildungsförderungsgesetzänderungsentwürfe ebenfalls.",
    "Greenlandic": "Kalaallit Nunaat tassaavoq nunarsuup qeqertarsuaata annersaat inoqarfigineqartoq Qallunaatut "
    "oqaatsit ilinniartinneqartarput oqallisigineqartarlutillu nalunaarsorneqartarput",
    "Finnish": "Kaupunkisuunnitteluviraston yleiskaavoituspäällikkö kertoi järjestelmällisesti lentokenttäalueen "
    "asemakaavaluonnoksesta ja rakennusvalvonnan lupakäytännöstä kaupunginvaltuustolle",
    "Dutch": "De arbeidsongeschiktheidsverzekering en de aansprakelijkheidswaardevaststellingsveranderingen "
    "zijn onderwerp van meervoudige persoonlijkheidsonderzoeken",
}


@pytest.mark.parametrize("language", LONG_WORDS)
def test_prose_of_long_compounds_is_kept(language: str) -> None:
    assert fault(scores_of(LONG_WORDS[language]), "prose") is None


@pytest.mark.parametrize("encode", [base64.encodebytes, lambda raw: raw.hex(" ", 32).encode(), base64.b32encode])
def test_encoded_bytes_are_no_prose(encode: Callable[[bytes], bytes]) -> None:
    raw = random.Random(5).randbytes(3000)
    assert fault(scores_of(encode(raw).decode().replace(" ", "\n")), "prose") in {"long_words", "too_short"}


def test_one_endless_word_is_still_too_long() -> None:
    assert fault(scores_of(f"{'д' * 60} {PROSE} {'donau' * 400} {'д' * 900}"), "prose") == "long_words"


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


def test_a_small_corpus_is_the_tokenizers_sample_as_a_whole() -> None:
    small = TokenizerSample(num_documents=10, num_bytes=5_000_000)
    assert small.cut_chars == 10_000_000
    assert all(small.takes(f"{number}") for number in range(100))
    large = TokenizerSample(num_documents=1_000_000, num_bytes=10**12)
    assert large.cut_chars == 10_000
    assert 2 <= sum(large.takes(f"{number}") for number in range(1000)) <= 30


def test_every_document_ends_in_one_state_and_precedence_is_by_segment_and_id() -> None:
    def entry(segment: int, place: int, doc_id: str, text: str) -> DocumentFacts:
        return DocumentFacts(
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
    states = first_states(entries, signatures, "prose", 0.01, Registry())
    assert states[0] == "exact_duplicate"
    assert states[2] == "too_short"
    assert states[6] == "exact_duplicate"
    assert sorted([states[1], *states[3:6]]) == [HELD_OUT, KEPT, KEPT, KEPT]
    assert count_states(states) == (3, 1, {"exact_duplicate": 2, "too_short": 1})
