"""Every projection gives the same bytes however the log is doubled and reordered across subjects."""

import dataclasses
from collections import defaultdict

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ropewalk.projections.projector import FOLDS, Projector, SnapshotError


def folded(log, names=tuple(FOLDS)):
    projector = Projector(names)
    for stored in log:
        projector.apply(stored)
    return projector


def hashes(projector):
    return {name: projector.digest(name) for name in projector.names}


def shuffled_across_subjects(log, draw):
    """Another order in which each subject keeps its own."""
    subjects = defaultdict(list)
    for stored in log:
        subjects[stored.message.subject].append(stored)
    turns = draw(st.permutations([subject for subject, items in subjects.items() for _ in items]))
    queues = {subject: iter(items) for subject, items in subjects.items()}
    return [next(queues[subject]) for subject in turns]


def with_repetitions(log, draw):
    """Some messages again later: as delivered twice, or published twice under the same id."""
    places = draw(st.lists(st.integers(0, len(log) - 1), max_size=40))
    again, end = list(log), max(stored.sequence for stored in log)
    for place in places:
        original = log[place]
        sequence = draw(st.sampled_from([original.sequence, end + len(again)]))
        at = draw(st.integers(again.index(original) + 1, len(again)))
        again.insert(at, dataclasses.replace(original, sequence=sequence))
    return again


@given(data=st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_doubled_and_reordered_logs_give_the_same_hashes(sample_log, data):
    other = with_repetitions(shuffled_across_subjects(sample_log, data.draw), data.draw)

    assert hashes(folded(other)) == hashes(folded(sample_log))


@pytest.mark.parametrize("name", FOLDS)
def test_every_projection_says_something_about_the_sample_and_can_be_folded_alone(sample_log, name):
    alone = folded(sample_log, [name])

    assert alone.keys(name)
    assert alone.render(name) == folded(sample_log).render(name)


@given(place=st.integers(0, 400))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_projector_continues_from_its_snapshot_at_any_place(sample_log, place):
    first = folded(sample_log[:place])
    continued = Projector.restore(first.save())
    for stored in sample_log[max(place - 5, 0) :]:
        continued.apply(stored)

    assert hashes(continued) == hashes(folded(sample_log))
    assert continued.save() == Projector.restore(continued.save()).save()


def test_an_item_is_rendered_anew_after_a_message_about_it(sample_log):
    projector = folded(sample_log[:40])
    before = {name: projector.render(name) for name in FOLDS}
    for stored in sample_log[40:]:
        projector.apply(stored)

    assert {name: projector.render(name) for name in FOLDS} == {name: folded(sample_log).render(name) for name in FOLDS}
    assert projector.render("runs") != before["runs"]


@pytest.mark.parametrize("snapshot", [b"", b"{", b"[]", b'{"versions": {}}', b'{"versions": {"format": 0}}'])
def test_a_snapshot_that_is_none_is_refused(snapshot):
    with pytest.raises(SnapshotError):
        Projector.restore(snapshot)


def test_a_dropped_message_changes_the_hash(sample_log):
    for name, fold in FOLDS.items():
        place = max(at for at, stored in enumerate(sample_log) if type(stored.message) in fold.steps)
        without = [*sample_log[:place], *sample_log[place + 1 :]]
        assert folded(without).digest(name) != folded(sample_log).digest(name), name
