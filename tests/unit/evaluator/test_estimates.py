from dataclasses import replace

import pytest

from ropewalk.evaluator.domain.estimates import (
    CompletionScore,
    ItemScore,
    best_ngram,
    estimate_all,
    estimate_gain,
)


def scores(num_files: int = 30, per_file: int = 1) -> list[ItemScore]:
    return [
        ItemScore(
            item_id=f"{file}/{part}",
            path=f"{file}.py",
            num_bytes=100,
            bits={"candidate": 150.0 + file, "unigram": 300.0 + file, "bigram": 200.0, "trigram": 170.0},
        )
        for file in range(num_files)
        for part in range(per_file)
    ]


def completions() -> list[CompletionScore]:
    return [CompletionScore(path="p", prompt_end="", completion="", parsed=index < 8) for index in range(10)]


def test_every_metric_of_the_report_has_its_name_and_its_interval() -> None:
    estimates = {e.metric: e for e in estimate_all(scores(), completions(), candidate="c", seed=1)}
    assert list(estimates) == [
        "bits_per_byte",
        "parse_rate",
        "baseline_unigram_bits_per_byte",
        "baseline_bigram_bits_per_byte",
        "baseline_trigram_bits_per_byte",
    ]
    assert estimates["bits_per_byte"].value == pytest.approx((150 + 14.5) / 100)
    assert estimates["bits_per_byte"].lower < estimates["bits_per_byte"].value < estimates["bits_per_byte"].upper
    assert (round(estimates["parse_rate"].lower, 4), estimates["parse_rate"].num_items) == (0.4902, 10)
    assert estimates["baseline_unigram_bits_per_byte"].subject == "token unigram"


def test_without_completions_there_is_no_parse_rate() -> None:
    assert "parse_rate" not in {e.metric for e in estimate_all(scores(), (), candidate="c", seed=1)}


def test_a_file_is_one_cluster_however_many_documents_it_has() -> None:
    assert estimate_gain(scores(6, per_file=5), "unigram", subject="s", seed=1).num_items == 6


def test_pairing_takes_out_what_both_models_find_hard() -> None:
    """Both cost more on the same files; the difference is 1.5 bits per byte on every one."""
    gain = estimate_gain(scores(), "unigram", subject="s", seed=1)
    assert (gain.lower, gain.value, gain.upper) == pytest.approx((1.5, 1.5, 1.5))


@pytest.mark.parametrize(
    ("column", "subject"), [("production", "the model in production"), ("base_model", "the base model")]
)
def test_the_model_to_beat_is_reported_when_it_was_scored(column: str, subject: str) -> None:
    with_opponent = [
        ItemScore(item_id=score.item_id, path=score.path, num_bytes=100, bits={**score.bits, column: 120.0 + index})
        for index, score in enumerate(scores())
    ]
    last = estimate_all(with_opponent, (), candidate="c", seed=1)[-1]
    assert (last.metric, last.subject) == (f"{column}_bits_per_byte", subject)
    assert last.value == pytest.approx(1.345)
    assert estimate_gain(with_opponent, column, subject="m@1", seed=1).value == pytest.approx(-0.3)


def test_the_best_ngram_needs_the_fewest_bits() -> None:
    assert best_ngram(scores()) == "trigram"
    worse = [replace(score, bits=score.bits | {"trigram": 999.0}) for score in scores()]
    assert best_ngram(worse) == "bigram"


def test_an_opponent_that_completes_has_a_parse_rate_of_its_own() -> None:
    both = [replace(each, opponent_parsed=index < 4) for index, each in enumerate(completions())]
    estimates = {e.metric: e for e in estimate_all(scores(), both, candidate="c", seed=1)}
    assert (estimates["parse_rate"].value, estimates["opponent_parse_rate"].value) == (0.8, 0.4)


def test_documents_that_belong_together_are_one_cluster() -> None:
    books = [replace(score, split_key=f"book {index % 5}") for index, score in enumerate(scores())]
    assert estimate_gain(books, "unigram", subject="s", seed=1).num_items == 5
