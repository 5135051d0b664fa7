"""From scores to estimates: names, roles, pairing and clusters."""

from dataclasses import replace

import pytest

from ropewalk.evaluator.domain.estimates import Contest, best_baseline, estimate_all
from ropewalk.evaluator.domain.gate import Decision, Evidence, decide
from ropewalk.evaluator.domain.metric import ItemScore, Measurement
from ropewalk.evaluator.domain.metrics import bits_per_byte, parse_rate
from ropewalk.evaluator.domain.roles import GATES, NGRAMS
from ropewalk.events.evaluation import Estimate


def row(index: int, values: dict[str, float], metric: str = "bits_per_byte", cluster: str = "") -> ItemScore:
    return ItemScore(
        metric=metric,
        tasks="held-out files",
        item_id=str(index),
        path=f"{index}.py",
        cluster=cluster or str(index),
        num_bytes=100,
        values=values,
    )


def bits(num_files: int = 30, per_file: int = 1, **more: float) -> Measurement:
    """The candidate and the unigram both find the later files harder."""
    rows = [
        row(
            part,
            {"candidate": 150.0 + file} | more | dict(zip(NGRAMS, (300.0 + file, 200.0, 170.0), strict=True)),
            cluster=str(file),
        )
        for file in range(num_files)
        for part in range(per_file)
    ]
    return Measurement(bits_per_byte.METRIC, tuple(rows))


def parsing(num_parsed: int, num_theirs: int | None = None) -> Measurement:
    """Of ten completions the first ones parse."""
    rows = []
    for index in range(10):
        theirs = {} if num_theirs is None else {"production": float(index < num_theirs)}
        rows.append(row(index, {"candidate": float(index < num_parsed)} | theirs, metric="parse_rate"))
    return Measurement(parse_rate.METRIC, tuple(rows))


def estimates(*asked: Measurement, opponent: str = "baseline_unigram", gate: str = "full") -> dict[str, Estimate]:
    found = estimate_all(asked, Contest("c", opponent, "the opponent"), GATES[gate], seed=1)
    return {each.metric: each for each in found}


def test_every_metric_of_the_report_has_its_name_and_its_interval() -> None:
    found = estimates(bits(), parsing(8))
    assert list(found) == [
        "bits_per_byte",
        "parse_rate",
        "baseline_unigram_bits_per_byte",
        "baseline_bigram_bits_per_byte",
        "baseline_trigram_bits_per_byte",
        "bits_per_byte_gain",
    ]
    own = found["bits_per_byte"]
    assert own.value == pytest.approx((150 + 14.5) / 100)
    assert own.lower < own.value < own.upper
    assert (round(found["parse_rate"].lower, 4), found["parse_rate"].num_items) == (0.4902, 10)
    assert (own.subject, found["baseline_unigram_bits_per_byte"].subject) == ("c", "token unigram")


def test_every_estimate_says_what_it_is_and_which_part_it_plays() -> None:
    found = estimates(bits(production=120.0), parsing(8, 4), opponent="production")
    assert {name: each.role for name, each in found.items() if each.role != "shown"} == {
        "bits_per_byte_gain": "primary",
        "parse_rate": "guardrail",
        "parse_rate_gain": "guardrail",
    }
    assert [name for name, each in found.items() if each.paired] == ["bits_per_byte_gain", "parse_rate_gain"]
    rate = found["production_parse_rate"]
    assert (rate.value, rate.quantity, rate.unit, rate.better) == (0.4, "completions that parse", "share", "higher")
    assert (rate.written(rate.value), found["bits_per_byte"].written(1.5)) == ("40%", "1.500")


def test_what_is_never_below_zero_has_no_bound_below_zero() -> None:
    values = [*[0.0] * 9, 40.0]
    measured = bits(10)
    pairs = zip(measured.rows, values, strict=True)
    rows = tuple(replace(row, values={**row.values, "candidate": value}) for row, value in pairs)
    found = estimates(replace(measured, rows=rows))["bits_per_byte"]
    assert found.lower == 0.0 < found.value


def test_for_a_toy_only_the_gain_counts() -> None:
    found = estimates(bits(), parsing(8), gate="toy")
    assert [name for name, each in found.items() if each.role != "shown"] == ["bits_per_byte_gain"]


def test_a_file_is_one_cluster_however_many_documents_it_has() -> None:
    gain = estimates(bits(6, per_file=5))["bits_per_byte_gain"]
    assert (gain.num_items, gain.num_clusters, gain.sample) == (30, 6, "30 held-out files in 6 clusters")


def test_pairing_takes_out_what_both_models_find_hard() -> None:
    """Both cost more on the same files; the difference is 1.5 bits per byte on every one."""
    gain = estimates(bits())["bits_per_byte_gain"]
    assert (gain.lower, gain.value, gain.upper) == pytest.approx((1.5, 1.5, 1.5))
    assert gain.subject == "the opponent"


@pytest.mark.parametrize(("scorer", "subject"), [("production", "in production before"), ("base_model", "base model")])
def test_the_model_to_beat_is_reported_when_it_was_scored(scorer: str, subject: str) -> None:
    found = estimates(bits(**{scorer: 134.5}), opponent=scorer)
    assert found[f"{scorer}_bits_per_byte"].subject == subject
    assert found[f"{scorer}_bits_per_byte"].value == pytest.approx(1.345)
    assert found["bits_per_byte_gain"].value == pytest.approx(-0.3)


def test_the_best_ngram_needs_the_fewest_bits_and_among_equals_is_the_simplest() -> None:
    asked = bits()
    assert best_baseline(asked, NGRAMS) == "baseline_trigram"
    worse = tuple(replace(each, values=each.values | {"baseline_trigram": 200.0}) for each in asked.rows)
    assert best_baseline(replace(asked, rows=worse), NGRAMS) == "baseline_bigram"
    assert best_baseline(parsing(8, 4), ("production", "candidate")) == "candidate"


def test_more_completions_that_parse_are_a_gain_and_fewer_a_loss() -> None:
    gain = estimates(bits(), parsing(8, 4), opponent="production")["parse_rate_gain"]
    assert (gain.value, gain.level) == (pytest.approx(0.4), 0.9)
    assert gain.lower < 0 < gain.value == gain.upper  # of four prompts that tell them apart, all are won
    assert estimates(bits(), parsing(4, 8), opponent="production")["parse_rate_gain"].value == pytest.approx(-0.4)


def test_who_cannot_answer_a_metric_is_not_compared_by_it() -> None:
    assert "parse_rate_gain" not in estimates(bits(), parsing(8), opponent="baseline_unigram")


def judged(asked: tuple[Measurement, ...], contest: Contest, gate: str = "full") -> Decision:
    found = estimate_all(asked, contest, GATES[gate], seed=1)
    shown = Evidence(estimates=found, rules=GATES[gate], margin=0.0, opponent=contest.name, num_held_out=30, num_seen=0)
    return decide(shown)


def junk(**more: float) -> tuple[Measurement, Measurement]:
    """2.000 bits per byte where the unigram has 3.05, the bigram 1.939, the trigram 1.753; none of 64 parses."""
    rows = []
    for file in range(30):
        harder = file % 3 - 1  # bits that every scorer needs more
        levels = {"candidate": 200.0} | more | dict(zip(NGRAMS, (305.0, 193.9, 175.3), strict=True))
        rows.append(row(file, {name: level + harder * (1 + level / 100) for name, level in levels.items()}))
    said = [row(index, {"candidate": 0.0}, metric="parse_rate") for index in range(64)]
    return Measurement(bits_per_byte.METRIC, tuple(rows)), Measurement(parse_rate.METRIC, tuple(said))


def test_a_first_model_that_only_beats_the_unigram_is_rejected_with_both_reasons() -> None:
    asked = junk()
    best = best_baseline(asked[0], NGRAMS)
    decision = judged(asked, Contest("c", best, "the token trigram"))
    assert (best, decision.decision) == ("baseline_trigram", "reject")
    assert decision.reasons[0].startswith("the candidate needs 0.247 more bits per byte than the token trigram")
    assert decision.reasons[1] == "completions that parse: 0% of 64 held-out files; the gate asks for more than 0%"


def test_to_be_better_than_junk_in_production_is_not_enough_where_an_ngram_is_better() -> None:
    """What serves passed the gate of a toy; the next one passes the full one."""
    asked = (junk(production=240.0)[0],)
    alone, beside = (
        Contest("c", "production", "pycode@1", others) for others in ({}, {"baseline_trigram": "the token trigram"})
    )
    assert judged(asked, alone).decision == "promote"
    decision = judged(asked, beside)
    assert decision.decision == "reject"
    assert decision.reasons[0].startswith("the candidate needs 0.247 more bits per byte than the token trigram")
    assert "0.400 fewer bits per byte than pycode@1" in decision.reasons[1]
    assert judged(asked, beside, gate="toy").decision == "promote"
