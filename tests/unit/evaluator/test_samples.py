"""Where the model goes on for the readers of a report."""

from ropewalk.corpus.document import ChatMessage
from ropewalk.evaluator.domain.samples import NUM_SAMPLES, openings
from ropewalk.evaluator.domain.tasks import Item


def turn(role: str, content: str) -> ChatMessage:
    return ChatMessage(role=role, content=content)


TALK = (
    turn("system", "be kind"),
    turn("user", "hello"),
    turn("assistant", "good day"),
    turn("user", "bye"),
)


def test_a_text_is_cut_between_words_and_leaves_something_to_say() -> None:
    (opening,) = openings([Item("a", "a.txt", text="one two three four five six")], 17)
    assert opening.text == "one two three"
    (long,) = openings([Item("a", "a.txt", text="word " * 1000)], 17)
    assert len(long.text) <= 300


def test_a_conversation_is_cut_before_its_first_answer() -> None:
    (opening,) = openings([Item("a", "chat.jsonl", turns=TALK)], 17)
    assert opening.turns == TALK[:2]
    assert opening.shown == "system: be kind\nuser: hello\n"


def test_what_gives_nothing_to_go_on_from_is_left_out() -> None:
    items = [Item("a", "a", text=" \n"), Item("b", "b", turns=TALK[2:]), Item("c", "c", text="")]
    assert openings(items, 17) == ()


def test_samples_are_few_each_from_another_file_and_the_same_for_the_same_seed() -> None:
    items = [Item(f"{number}", f"{number % 9}.txt", text="some words to begin with") for number in range(40)]
    found = openings(items, 17)
    assert len({opening.path for opening in found}) == len(found) == NUM_SAMPLES
    assert found == openings(list(reversed(items)), 17)
