"""`ropewalk init`: from a folder to a recipe that can be submitted."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from ropewalk.cli.tree import app
from ropewalk.corpus.draft import draft_recipe, name_of
from ropewalk.recipes.builtin import resolve_recipe

WORDS = "The harbour master wrote down every ship that came in, and what it carried. "


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "My Notes (2026)"
    folder.mkdir()
    return folder


@pytest.fixture
def init(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs `ropewalk init` in a folder of its own."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    return lambda *arguments: CliRunner().invoke(app, ["init", *map(str, arguments)])


def test_a_folder_of_prose_gives_a_recipe_that_is_accepted(data: Path, init: Callable[..., Result]) -> None:
    for number in range(60):
        (data / f"{number}.md").write_text(f"# {number}\n" + WORDS * 20)

    done = init(data)

    assert done.exit_code == 0, repr(done.exception)
    fields = yaml.safe_load(Path("my-notes-2026.yaml").read_text())
    recipe = resolve_recipe(fields)
    assert (recipe.profile, recipe.mode, recipe.size) == ("prose", "pretrain", "nano")
    assert recipe.sources[0].path == str(data)
    assert recipe.evaluation.held_out_fraction == 0.2  # 25 of 60 would be too much to take from training
    assert "60 documents" in done.output
    assert "ropewalk submit my-notes-2026.yaml --dry-run" in done.output


def test_a_folder_of_code_is_code_and_what_tools_built_is_left_out(data: Path) -> None:
    for number in range(30):
        (data / f"{number}.py").write_text("def add(a, b):\n    return a + b\n" * 20)
    (data / "lib" / "node_modules").mkdir(parents=True)
    (data / "lib" / "node_modules" / "x.js").write_text("x" * 10_000)
    (data / "README.md").write_text("short")

    draft = draft_recipe(data)

    assert draft.fields["profile"] == "code"
    assert resolve_recipe(draft.fields).sources[0].exclude == ("**/node_modules/**",)
    assert draft.found.num_files == 31


@pytest.mark.parametrize("name", ["a.jsonl", "A.JSONL", "a.jsonl.gz"])
def test_the_field_of_records_that_holds_the_text_is_found(data: Path, name: str) -> None:
    lines = "".join(json.dumps({"id": f"{n}", "body": WORDS * 5, "score": 1}) + "\n" for n in range(30)).encode()
    (data / name).write_bytes(gzip.compress(lines) if name.endswith("gz") else lines)

    draft = draft_recipe(data)

    assert resolve_recipe(draft.fields).sources[0].text_field == "body"
    assert draft.found.num_documents == 30


def test_conversations_tune_a_model_that_their_owner_names(data: Path, init: Callable[..., Result]) -> None:
    talk = {"messages": [{"role": "user", "content": "hello"}, {"role": "assistant", "content": WORDS}]}
    (data / "chat.jsonl").write_text((json.dumps(talk) + "\n") * 40)

    done = init(data, "--out", "mine.yaml")

    fields = yaml.safe_load(Path("mine.yaml").read_text())
    assert (fields["mode"], fields["base_model"], fields["sources"][0]["format"]) == ("finetune", "", "chat")
    assert "base_model" in done.output


def test_nothing_to_read_a_wrong_name_and_an_existing_file_are_said_in_a_sentence(
    data: Path, init: Callable[..., Result]
) -> None:
    assert "can be read as text" in str(init(data).exception)
    assert "does not exist" in str(init(data / "nowhere").exception)
    assert str(init("s3://bucket/x").exception).startswith("'s3://bucket/x': nothing is read from s3:// here; copy it")
    (data / "a.txt").write_text(WORDS * 100)
    Path("my-notes-2026.yaml").write_text("mine")
    assert "exists already" in str(init(data).exception)
    assert Path("my-notes-2026.yaml").read_text() == "mine"


def test_too_little_data_is_said_when_the_recipe_is_written(data: Path, init: Callable[..., Result]) -> None:
    (data / "a.txt").write_text("few words")
    refused = init(data)
    assert "a single document" in str(refused.exception)
    assert "is the recipe" not in refused.output
    assert not list(Path().iterdir())


def test_a_name_that_is_not_utf8_is_said_with_the_remedy(tmp_path: Path, init: Callable[..., Result]) -> None:
    folder = tmp_path / "caf\udce9"
    folder.mkdir()
    assert "rename it" in str(init(folder).exception)


def test_a_file_is_as_good_as_a_folder_and_names_are_those_of_recipes(data: Path) -> None:
    (data / "a.txt").write_text(WORDS * 400)
    assert draft_recipe(data / "a.txt").found.num_documents == 1
    assert [name_of(Path(name)) for name in ("Größe", "漢字", "a" * 99)] == ["gr-e", "custom", "a" * 40]


def test_too_few_documents_to_be_judged_are_named_by_init_and_by_the_dry_run(
    data: Path, init: Callable[..., Result]
) -> None:
    for number in range(25):
        (data / f"{number}.md").write_text(f"# {number}\n" + WORDS * 200)

    done = init(data)
    dry = CliRunner().invoke(app, ["submit", "my-notes-2026.yaml", "--dry-run"])

    for answer in (done, dry):
        words = " ".join(answer.output.split())
        assert answer.exit_code == 0, words
        assert "of 25 about 5 will be held out and the gate needs 20" in words
        assert "have at least 100 documents" in words
    assert "data that repeats itself gives fewer" in " ".join(dry.output.split())


def test_enough_documents_are_not_warned_of(data: Path, init: Callable[..., Result]) -> None:
    for number in range(120):
        (data / f"{number}.md").write_text(f"# {number}\n" + WORDS * 40)

    assert "too few documents" not in init(data).output
    assert "too few documents" not in CliRunner().invoke(app, ["submit", "my-notes-2026.yaml", "--dry-run"]).output
