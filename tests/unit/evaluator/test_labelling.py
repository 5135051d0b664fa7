"""Which sheet comes next, what a page says beside it, and what the order owes to chance."""

from collections import Counter
from dataclasses import replace

import pytest
from parts.wanted_sheets import TASK_SET, a_sheet
from pydantic import ValidationError

from ropewalk.evaluator.domain.labelling.gold import gold_sheets
from ropewalk.evaluator.domain.labelling.progress import (
    last_label,
    others_on,
    progress_of,
    seconds_between,
    settled_label,
)
from ropewalk.evaluator.domain.labelling.queue import AskedSheets, Offer, kind_of, next_offer, next_position
from ropewalk.evaluator.domain.labelling.sheets import PAIR, Sheet
from ropewalk.events.label import CANNOT_JUDGE, LabelGiven, LabelWithdrawn, RaterInvited, RaterRevoked
from ropewalk.projections.labels import Labelled
from ropewalk.projections.raters import Invitations, key_of_secret
from ropewalk.tasksets.judges.rubric import RUBRICS, RubricFile
from ropewalk.tasksets.yaml_file import read_yaml

CRITERIA = read_yaml(RUBRICS / "default.yaml", RubricFile, "rubric").criteria
GOLD = tuple(gold_sheets([("0-3", "correctness")], CRITERIA))


def wanting(sheets: list[Sheet], raters_each: int = 4, gold: tuple[Sheet, ...] = GOLD) -> AskedSheets:
    return AskedSheets(sheets=sheets, raters_each={each.sheet_id: raters_each for each in sheets}, gold=gold)


def say(said: Labelled, rater: str, offer: Offer, grade: int = 2, seconds: float = 10.0) -> LabelGiven:
    label = LabelGiven(
        task_set_id=TASK_SET,
        version=1,
        sheet_id=offer.sheet.sheet_id,
        item_id=offer.sheet.item_id,
        criterion=offer.sheet.criterion,
        scale=offer.sheet.scale,
        rater=rater,
        grade=grade,
        shown_first=offer.shown_first,
        seconds=seconds,
        kind=offer.kind,
        position=offer.position,
    )
    said.add(label)
    return label


def take_back(said: Labelled, label: LabelGiven) -> None:
    told = label.model_dump(include={"task_set_id", "version", "sheet_id", "rater", "position"})
    said.add(LabelWithdrawn(**told))


def work_off(rater: str, wanted: AskedSheets, said: Labelled) -> list[Offer]:
    """Until nothing is left."""
    offers: list[Offer] = []
    while (offer := next_offer(rater, wanted, said)) is not None:
        offers.append(offer)
        say(said, rater, offer)
    return offers


def test_what_fewest_have_labelled_comes_first_and_then_what_leaves_most_doubt() -> None:
    plain, doubted, known = a_sheet(1, chance=0.2), a_sheet(2, chance=0.9), a_sheet(3, chance=1.0)
    wanted, said = wanting([plain, doubted, known], gold=()), Labelled()
    say(said, "bert", Offer(position=1, sheet=known, kind="wanted", shown_first=0))
    asked = [offer.sheet.item_id for offer in work_off("anna", wanted, said)]
    assert asked == ["item-2", "item-1", "item-3"]


def test_a_sheet_that_enough_people_have_spoken_of_is_asked_of_nobody_else() -> None:
    wanted, said = wanting([a_sheet(1)], raters_each=2), Labelled()
    for rater, grade in (("anna", CANNOT_JUDGE), ("bert", 2)):
        offer = next_offer(rater, wanted, said)
        assert offer is not None
        say(said, rater, offer, grade)
    assert next_offer("carl", wanted, said) is None


def test_no_sheet_is_asked_twice_but_for_a_tenth_of_repeats_and_a_twentieth_is_gold() -> None:
    wanted, said = wanting([a_sheet(number) for number in range(85)]), Labelled()
    offers = work_off("anna", wanted, said)
    by_kind = {kind: [offer for offer in offers if offer.kind == kind] for kind in ("wanted", "repeat", "gold")}
    assert len({offer.sheet.sheet_id for offer in by_kind["wanted"]}) == len(by_kind["wanted"]) == 85
    assert len(offers) == 100 - (5 - len(by_kind["gold"]))  # there are but four worked examples
    assert (len(by_kind["gold"]), len(by_kind["repeat"])) in ((4, 10), (4, 9))
    assert {offer.sheet.sheet_id for offer in by_kind["gold"]} == {each.sheet_id for each in GOLD}
    asked_at = {offer.sheet.sheet_id: offer.position for offer in by_kind["wanted"]}
    repeated = [offer.position - asked_at[offer.sheet.sheet_id] for offer in by_kind["repeat"]]
    assert min(repeated) > 4
    assert len({offer.sheet.sheet_id for offer in by_kind["repeat"]}) == len(repeated)
    others = work_off("bert", wanted, said)
    places = [[offer.position for offer in found if offer.kind != "wanted"] for found in (offers, others)]
    assert places[0] != places[1]


def test_the_order_of_a_pair_is_chance_for_each_rater_and_sheet_and_stays() -> None:
    sheets = [a_sheet(number, pair=True) for number in range(200)]
    wanted = wanting(sheets, gold=())
    firsts = {
        rater: {offer.sheet.sheet_id: offer.shown_first for offer in work_off(rater, wanted, Labelled())}
        for rater in ("anna", "bert")
    }
    for found in firsts.values():
        assert 70 <= sum(found.values()) <= 130  # of 200, 4.2 standard deviations around half
    assert firsts["anna"] != firsts["bert"]
    assert next_offer("anna", wanted, Labelled()) == next_offer("anna", wanted, Labelled())
    assert {offer.shown_first for offer in work_off("anna", wanting([a_sheet(n) for n in range(20)]), Labelled())} == {
        0
    }


def test_what_was_taken_back_comes_again_as_it_was_shown_and_its_place_is_used_up() -> None:
    wanted, said = wanting([a_sheet(number, pair=True) for number in range(5)], gold=()), Labelled()
    offers = []
    for _ in range(3):
        offer = next_offer("anna", wanted, said)
        assert offer is not None
        offers.append(offer)
        label = say(said, "anna", offer)
    assert last_label("anna", said) == label
    take_back(said, label)
    again = next_offer("anna", wanted, said)
    assert again is not None
    assert (again.sheet, again.shown_first, again.position) == (offers[-1].sheet, offers[-1].shown_first, 4)
    assert last_label("anna", said) is None
    assert next_position("anna", said) == 4


def test_why_a_sheet_was_asked_is_found_again_whatever_others_say_meanwhile() -> None:
    wanted, said = wanting([a_sheet(number) for number in range(60)]), Labelled()
    kinds = Counter[str]()
    while (offer := next_offer("anna", wanted, said)) is not None:
        for rater in ("bert", "carl"):
            other = next_offer(rater, wanted, said)
            if other is not None:
                say(said, rater, other)
        assert kind_of("anna", offer.sheet.sheet_id, wanted, said) == offer.kind
        kinds[offer.kind] += 1
        label = say(said, "anna", offer)
        if offer.position % 3 == 1:
            take_back(said, label)
    assert min(kinds["wanted"], kinds["repeat"], kinds["gold"]) > 1


def test_only_the_newest_label_may_be_taken_back_and_only_by_its_own_sheet() -> None:
    wanted, said = wanting([a_sheet(number) for number in range(3)], gold=()), Labelled()
    labels = []
    for _ in range(2):
        offer = next_offer("anna", wanted, said)
        assert offer is not None
        labels.append(say(said, "anna", offer))
    kept = dict(said.labels)
    early = labels[1].model_copy(update={"position": 3})
    for no_good in (labels[0], labels[1].model_copy(update={"sheet_id": "another"}), early):
        take_back(said, no_good)
        assert (said.labels, said.withdrawn) == (kept, {})
    for _ in range(2):
        take_back(said, labels[1])
        assert (list(said.labels.values()), list(said.withdrawn.values())) == (labels[:1], labels[1:])
    said.add(labels[1])
    take_back(said, labels[0])
    assert list(said.labels.values()) == labels[:1], "others were told of it"


def test_a_grade_that_is_none_is_no_label_and_a_position_is_bounded() -> None:
    said, offer = Labelled(), Offer(position=1, sheet=a_sheet(1), kind="wanted", shown_first=0)
    say(said, "anna", offer, CANNOT_JUDGE - 1)
    assert said.labels == {}
    label = say(said, "anna", offer, CANNOT_JUDGE)
    assert list(said.labels.values()) == [label]
    for position in (-5, 0, 2**31):
        with pytest.raises(ValidationError):
            say(said, "anna", replace(offer, position=position))
        with pytest.raises(ValidationError):
            take_back(said, label.model_copy(update={"position": position}))


def test_others_are_only_told_of_a_label_that_stays() -> None:
    wanted, said = wanting([a_sheet(number) for number in range(3)], gold=()), Labelled()
    labels = []
    for grade in (2, 1):
        offer = next_offer("anna", wanted, said)
        assert offer is not None
        labels.append(say(said, "anna", offer, grade))
        for rater, other in (("bert", 2), ("carl", 0), ("dora", CANNOT_JUDGE)):
            say(said, rater, Offer(position=len(labels), sheet=offer.sheet, kind="wanted", shown_first=0), other)
    settled = settled_label("anna", said)
    assert settled == labels[0]
    assert others_on(labels[0], said) == (2, 1)
    take_back(said, labels[1])
    assert settled_label("anna", said) == labels[0]
    assert settled_label("emil", said) is None


def test_progress_counts_what_is_wanted_and_expects_the_pace_of_the_rater() -> None:
    wanted, said = wanting([a_sheet(number) for number in range(40)]), Labelled()
    assert progress_of("anna", wanted, said).sentence == "0 of 40, about 16 minutes left"
    for _ in range(12):
        offer = next_offer("anna", wanted, said)
        assert offer is not None
        say(said, "anna", offer, seconds=60.0)
    progress = progress_of("anna", wanted, said)
    assert 9 <= progress.num_done <= 12
    assert progress.num_all == 40
    assert progress.left_s == pytest.approx((40 - progress.num_done) * 60 * 20 / 17)
    work_off("anna", wanted, said)
    assert progress_of("anna", wanted, said).sentence == "40 of 40"
    assert (seconds_between(10.0, 12.34), seconds_between(10.0, 5.0), seconds_between(0.0, 1e9)) == (2.3, 0.0, 1800.0)


def test_gold_has_the_grade_of_the_rubric_and_of_a_pair_the_best_answer() -> None:
    assert Counter(sheet.gold for sheet in GOLD) == {0: 1, 1: 1, 2: 1, 3: 1}
    (pair,) = gold_sheets([(PAIR, "correctness")], CRITERIA)
    better = pair.answers[0 if pair.gold == 0 else 1]
    assert better == "It returns the product of w and h."
    both = {name: CRITERIA[name] for name in ("correctness", "comprehensiveness")}
    assert {sheet.criterion for sheet in gold_sheets([(PAIR, "preferred")], both)} == {"preferred"}
    assert len(list(gold_sheets([(PAIR, "preferred")], both))) == 2


@pytest.mark.parametrize(("scale", "name"), [("0-3", "correctness"), (PAIR, "correctness"), (PAIR, "preferred")])
def test_gold_of_another_rubric_is_another_sheet(scale: str, name: str) -> None:
    known = CRITERIA["correctness"]
    reworded = {"correctness": known.model_copy(update={"definition": "Whether it is short."})}
    ids = [[sheet.sheet_id for sheet in gold_sheets([(scale, name)], each)] for each in (CRITERIA, reworded)]
    assert ids[1]
    assert not set(ids[0]) & set(ids[1])


def test_a_link_is_good_until_its_time_or_a_revocation_and_not_for_others() -> None:
    found = Invitations()
    for secret, until in (("one", 100.0), ("two", 200.0)):
        found.add(RaterInvited(task_set_id=TASK_SET, rater="anna", key_sha256=key_of_secret(secret), until_unix=until))
    assert (found.rater_of("one", 99.0), found.rater_of("one", 100.0), found.rater_of("two", 100.0)) == (
        "anna",
        "",
        "anna",
    )
    assert found.rater_of("three", 1.0) == ""
    assert found.raters() == {"anna": 200.0}
    found.add(RaterRevoked(task_set_id=TASK_SET, rater="anna"))
    assert found.rater_of("two", 1.0) == ""
    assert found.raters() == {"anna": 0.0}
