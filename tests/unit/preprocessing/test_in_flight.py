"""What is handed out again when a machine is gone, on plain values."""

from ropewalk.preprocessing.domain.in_flight import InFlight

BOTH = frozenset({"one", "two"})


def three_tasks() -> InFlight[str]:
    in_flight: InFlight[str] = InFlight(BOTH)
    for place, task in enumerate(("a", "b", "c")):
        in_flight.add(task, place)
    return in_flight


def test_nothing_is_handed_out_again_while_all_machines_are_there_or_more_come() -> None:
    in_flight = three_tasks()
    assert in_flight.orphaned(BOTH) == []
    assert in_flight.orphaned(BOTH | {"three"}) == []
    assert in_flight.tasks == ["a", "b", "c"]


def test_what_has_not_ended_is_handed_out_again_once_for_each_machine_that_is_gone() -> None:
    in_flight = three_tasks()
    assert in_flight.end("b") == (1, [])
    assert in_flight.orphaned(frozenset({"two"})) == [0, 2]
    in_flight.add("a2", 0)
    assert in_flight.orphaned(frozenset({"two"})) == []
    assert in_flight.orphaned(frozenset()) == [0, 2]


def test_a_machine_in_the_place_of_another_does_not_hide_that_one_is_gone() -> None:
    assert three_tasks().orphaned(frozenset({"two", "three"})) == [0, 1, 2]


def test_the_first_task_of_a_place_to_end_counts_and_the_others_are_given_up() -> None:
    in_flight = three_tasks()
    in_flight.add("a2", 0)
    assert in_flight.end("a2") == (0, ["a"])
    assert in_flight.tasks == ["b", "c"]
