"""Poison and what must come of it, from plain values."""

from datetime import UTC, datetime

import pytest

from ropewalk.bus.codec import RawMessage, decode
from ropewalk.bus.dead_letters import CONSUMER, SEQUENCE
from ropewalk.bus.errors import MalformedMessageError
from ropewalk.drills.traffic import (
    Readers,
    bad_bodies,
    letters_wrong,
    matches,
    poisons,
    prefix_of,
    readers_of,
    slower,
)
from ropewalk.events.registry import MESSAGE_TYPES

SUBMIT = "cmd.run.submit.v1"


def letter(sequence: int, consumer: str) -> RawMessage:
    return RawMessage("dlq", 1, datetime.now(UTC), {SEQUENCE: str(sequence), CONSUMER: consumer}, b"")


@pytest.mark.parametrize("kind", [kind for kind in MESSAGE_TYPES if kind.plane in ("cmd", "evt")])
def test_no_message_type_can_read_a_bad_body(kind) -> None:
    for body in bad_bodies("r"):
        with pytest.raises(MalformedMessageError):
            decode(kind, f"{kind.subject_prefix()}.r", body)


def test_the_same_seed_gives_the_same_poison_spread_over_every_subject() -> None:
    made = poisons([SUBMIT, "evt.run.accepted.v1"], 8, "d", seed=3)
    assert made == poisons([SUBMIT, "evt.run.accepted.v1"], 8, "d", seed=3)
    assert made != poisons([SUBMIT, "evt.run.accepted.v1"], 8, "d", seed=4)
    assert [subject for subject, _ in made[:2]] == ["cmd.run.submit.v1.d-p00", "evt.run.accepted.v1.d-p01"]


@pytest.mark.parametrize(
    ("subject_filter", "prefix"),
    [(f"{SUBMIT}.*", SUBMIT), ("evt.>", None), ("state.run.train.v1.*", None), ("evt.*.*.*.*", None)],
)
def test_only_filters_for_one_message_type_of_all_runs_name_a_type(subject_filter: str, prefix: str | None) -> None:
    assert prefix_of(subject_filter) == prefix


@pytest.mark.parametrize(
    ("subject_filter", "taken"),
    [("cmd.>", True), (f"{SUBMIT}.*", True), ("evt.>", False), (SUBMIT, False), ("*.*.*.*.*", True), (">", True)],
)
def test_filters_match_as_the_server_does_it(subject_filter: str, taken: bool) -> None:
    assert matches(subject_filter, f"{SUBMIT}.r") is taken


def test_who_decodes_a_type_must_reject_poison_and_who_takes_everything_may() -> None:
    readers = readers_of({"ingest__submit": (f"{SUBMIT}.*",), "monitor__events": ("cmd.>", "evt.>"), "x": ("tel.>",)})
    assert readers == {SUBMIT: Readers(must=("ingest__submit",), may=("monitor__events",))}


def test_exactly_one_letter_per_message_and_reader_is_right() -> None:
    readers = {SUBMIT: Readers(must=("a", "b"), may=("sink",))}
    poison = {7: SUBMIT}
    right = [letter(7, "a"), letter(7, "b"), letter(8, "a")]
    assert letters_wrong(right, poison, readers) == ()
    assert letters_wrong([*right, letter(7, "sink")], poison, readers) == ()
    assert letters_wrong(right[1:], poison, readers) == ("message 7 has no dead letter from a",)
    assert letters_wrong([*right, letter(7, "a")], poison, readers) == ("message 7 has 2 dead letters from a",)
    assert letters_wrong([*right, letter(7, "c")], poison, readers) == ("message 7 has a dead letter from c",)


def test_only_a_plain_change_of_the_median_counts_as_slower() -> None:
    assert not slower([0.01] * 9, [0.26] * 9)[0]
    assert slower([0.01] * 9, [0.28] * 9)[0]
    assert not slower([0.2] * 9, [0.2] * 8 + [3.0])[0]
    assert slower([], [0.1])[0]
