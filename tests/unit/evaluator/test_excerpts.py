from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from ropewalk.corpus.document import ChatMessage
from ropewalk.evaluator.domain.excerpts import CLUSTER_BYTES, EXCERPT_BYTES, MAX_BYTES, MIN_FILES, choose, excerpt
from ropewalk.evaluator.domain.tasks import Item


def turn(role: str, content: str) -> ChatMessage:
    return ChatMessage(role=role, content=content)


def a_text(name: str, num_bytes: int) -> Item:
    return Item(name, f"{name}.py", text=("x" * 99 + "\n") * (num_bytes // 100))


def test_a_short_document_is_scored_whole() -> None:
    assert excerpt("a\nb\n", "n", 1) == "a\nb\n"


def test_a_long_document_gives_one_run_of_whole_lines_of_nearly_the_limit() -> None:
    lines = [f"line {number}\n" for number in range(5000)]
    cut = excerpt("".join(lines), "n", 1)
    assert cut in "".join(lines)
    assert EXCERPT_BYTES - 20 < len(cut) <= EXCERPT_BYTES
    assert cut.splitlines(keepends=True)[0] in lines


def test_different_documents_are_cut_at_different_places() -> None:
    text = "".join(f"line {number}\n" for number in range(5000))
    assert len({excerpt(text, name, 1) for name in "abcdefgh"}) > 4


@given(st.text(alphabet=st.sampled_from("aé漢\n"), max_size=60).map(lambda part: part * 400), st.integers(0, 5))
def test_no_excerpt_is_too_long_or_not_in_its_document(text: str, seed: int) -> None:
    cut = excerpt(text, "n", seed)
    assert cut in text
    assert len(cut.encode()) <= EXCERPT_BYTES
    assert cut or not text


def test_the_budget_is_spread_over_at_least_twenty_files() -> None:
    chosen = choose([a_text(f"f{number}", 60_000) for number in range(60)], seed=1)
    assert MIN_FILES <= len(chosen) <= MIN_FILES + 2
    assert sum(item.num_bytes for item in chosen) >= MAX_BYTES


def test_small_files_are_taken_until_the_budget_is_spent() -> None:
    chosen = choose([a_text(f"f{number}", 1000) for number in range(400)], seed=1)
    assert len(chosen) == MAX_BYTES // 1000


def test_the_choice_does_not_depend_on_the_order_of_the_documents() -> None:
    files = [a_text(f"f{number}", 60_000) for number in range(60)]
    assert choose(files, seed=1) == choose(files[::-1], seed=1)
    assert choose(files, seed=1) != choose(files, seed=2)


def test_a_second_look_reads_twice_as_much_and_all_that_the_first_one_read() -> None:
    files = [a_text(f"f{number}", 6000) for number in range(90)]
    first, second = choose(files, seed=1), choose(files, seed=1, times=2)
    assert set(first) <= set(second)
    assert len(second) == 2 * len(first)


def test_empty_documents_are_left_out() -> None:
    assert choose([Item("a", "a.py", text=""), a_text("b", 100)], seed=1) == (a_text("b", 100),)


def test_a_package_of_many_files_weighs_no_more_than_a_tenth_of_the_budget() -> None:
    large = [replace(a_text(f"large{number}", 5_000), cluster_key="large") for number in range(200)]
    small = [a_text(f"small{number}", 2_000) for number in range(40)]
    chosen = choose(large + small, seed=1)
    assert sum(item.num_bytes for item in chosen if item.cluster == "large") == CLUSTER_BYTES == MAX_BYTES // 10
    assert len({item.cluster for item in chosen}) == 41


def test_where_few_documents_are_held_out_none_is_left_out_for_its_package() -> None:
    """Twenty files, of which eight are of one package: the gate needs all twenty."""
    packages = [replace(a_text(f"f{number}", 60_000), cluster_key=str(max(0, number - 7))) for number in range(20)]
    assert len(choose(packages, seed=1)) == MIN_FILES == 20


def test_a_long_conversation_gives_its_beginning_and_no_more_than_a_text() -> None:
    asked = turn("user", "go on")
    long = [asked, turn("assistant", "é" * 3_000), asked, turn("assistant", "x" * 9_000), asked, turn("assistant", "y")]
    (cut,) = choose([Item("a", "a", turns=tuple(long))], seed=1)
    assert cut.num_bytes == EXCERPT_BYTES
    assert cut.turns == (*long[:3], turn("assistant", "x" * 1_500))


def test_only_the_answers_of_a_conversation_count() -> None:
    item = Item("a", "a", turns=(turn("user", "question"), turn("assistant", "né")))
    assert item.num_bytes == 3
    assert choose([item], seed=1) == (item,)
