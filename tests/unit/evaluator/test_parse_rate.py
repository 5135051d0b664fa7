import pytest

from ropewalk.evaluator.domain.metrics.parse_rate import cut_prompts, parses
from ropewalk.evaluator.domain.tasks import Item

FUNCTION = "def f(x):\n    return x\n"


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        ("\ny = f(1)\n", True),
        ("\ny = f(1)\nz = (y +", True),  # the unfinished line is dropped
        ("\ny = f(1)\nz = (\n    y +\n", True),  # the unfinished statement too
        ("\ndef g():\n    return 2\n\ndef h():\n", True),  # a header without its body
        ('\ny = 1\nz = """text\nmore text\n', True),
        ("    y = 2\n", True),  # goes on with the function above
        ("\ny = f(1))\nz = 2\n", False),
        ("\nif y\n    z = 2\n", False),
        ("\ny = 1\n  z = 2\n", False),
        ("\ny = (1\nz = 2 3\nw = 1\n", False),
        ("\nz = (", False),  # nothing whole is left
        ("\ndef g():\n", False),
        ("\n# only a remark\n\n", False),
        ("", False),
        ("\ny = \x00\nz = 1\n", False),
    ],
)
def test_a_cut_completion_parses_when_its_finished_statements_do(completion: str, expected: bool) -> None:
    assert parses(FUNCTION, completion, ended=False) is expected


@pytest.mark.parametrize(("completion", "expected"), [("\ny = f(1)", True), ("\ny = f(", False)])
def test_what_the_model_ended_itself_is_not_cut(completion: str, expected: bool) -> None:
    assert parses(FUNCTION, completion, ended=True) is expected


def test_an_invalid_escape_is_no_failure_and_no_warning() -> None:
    assert parses(FUNCTION, "\ny = '\\d'\n", ended=False)


def a_file(name: str, num_statements: int) -> Item:
    text = "".join(f"value_{index} = {'1 + ' * 20}{index}\n" for index in range(num_statements))
    return Item(name, f"{name}.py", text=text)


def test_a_prompt_ends_with_a_top_level_statement_and_leaves_something_to_say() -> None:
    item = a_file("a", 6)
    prompts = cut_prompts([item], 10, seed=1)
    assert len(prompts) == 3  # two are too short, after the last there is nothing
    for prompt in prompts:
        assert item.text.startswith(prompt.text)
        assert prompt.text.endswith(prompt.reference)
        assert prompt.reference.count("\n") == 1


def test_every_file_gives_one_prompt_before_any_gives_a_second() -> None:
    prompts = cut_prompts([a_file("a", 9), a_file("b", 9), a_file("c", 9)], 4, seed=1)
    assert {prompt.path for prompt in prompts[:3]} == {"a.py", "b.py", "c.py"}
    assert len(prompts) == 4


def test_the_choice_depends_on_the_seed_only() -> None:
    files = [a_file("a", 30), a_file("b", 30)]
    assert cut_prompts(files, 4, seed=1) == cut_prompts(files[::-1], 4, seed=1)
    assert cut_prompts(files, 4, seed=1) != cut_prompts(files, 4, seed=2)


def test_files_that_do_not_parse_give_no_prompt() -> None:
    assert cut_prompts([Item("a", "a.py", text="print 'old'\n" * 50)], 4, seed=1) == ()


def test_a_class_is_one_statement() -> None:
    text = "import os\n" + "# remark\n" * 30 + "class A:\n    def f(self):\n        return 1\n\nx = 1\n"
    (prompt,) = cut_prompts([Item("a", "a.py", text=text)], 4, seed=1)
    assert prompt.reference == "class A:\n    def f(self):\n        return 1\n"
