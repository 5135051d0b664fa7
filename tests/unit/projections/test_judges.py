"""Judges as the log tells of them, whatever the order in which it is read."""

from itertools import permutations

from parts.judge_files import a_card

from ropewalk.events.judge import JudgeAudited, JudgeRegistered, JudgeSuspended
from ropewalk.projections.judges import standing_of_judge
from ropewalk.projections.projector import Projector


def registered(identity):
    return JudgeRegistered(judge_id="j", content=f"c{identity}", card=a_card(identity))


def audited(identity, content):
    return JudgeAudited(judge_id="j", content=content, identity=identity, num_new=5, states=())


def suspended(identity):
    return JudgeSuspended(judge_id="j", content="x", identity=identity, reason="it drifted")


def view(stored):
    projector = Projector(("judges",))
    for each in stored:
        projector.apply(each)
    return projector.view("judges", "j")


def test_the_newest_registration_counts_and_what_is_said_of_it_since(log):
    messages = log(
        registered("a"), audited("a", "l1"), suspended("a"), registered("b"), audited("b", "l2"), audited("a", "l3")
    )
    for shuffled in permutations(messages):
        found = view(shuffled)
        assert (found["card"]["identity"], found["suspended"], found["num_registrations"]) == ("b", {}, 2)
        assert found["audits"] == {"number": 1, "num_labels": 5}


def test_a_suspension_holds_until_it_is_registered_anew(log):
    assert view(log(registered("a"), suspended("a")))["suspended"]["reason"] == "it drifted"
    assert view(log(suspended("a"))) == {}


def test_a_handler_comes_to_the_same():
    past = [registered("a"), audited("a", "l1"), suspended("a")]
    standing = standing_of_judge(past)
    assert standing is not None
    assert (standing.content, [each.content for each in standing.audits], standing.is_suspended) == ("ca", ["l1"], True)
    standing = standing_of_judge([*past, registered("b"), suspended("a")])
    assert standing is not None
    assert (standing.audits, standing.is_suspended) == ((), False)
    assert standing_of_judge([]) is None
