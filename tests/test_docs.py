"""The documentation is true: generated pages are current, links lead somewhere, commands and recipes are accepted."""

import importlib.util
import re
import subprocess
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from ropewalk.events.registry import MESSAGE_TYPES
from ropewalk.recipes.dial import complete
from ropewalk.recipes.recipe import parse_recipe

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


def script(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def blocks(language: str) -> list[str]:
    """Every code block of a language in README and docs."""
    return [
        block
        for page in PAGES
        for block in re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    ]


@pytest.fixture(scope="module")
def command_line() -> set[str]:
    return {line.partition(" ")[2] for line in script(ROOT / "tests" / "interface.py").cli_options()}


def test_generated_pages_are_current() -> None:
    for name, text in script(ROOT / "docs" / "generate.py").pages().items():
        assert (ROOT / "docs" / name).read_text() == text, f"docs/{name} is out of date: make docs"


def test_every_message_is_in_the_list() -> None:
    text = (ROOT / "docs" / "events.md").read_text()
    for kind in MESSAGE_TYPES:
        assert f"### {kind.__name__}\n" in text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_paths_in_backticks_exist(page: Path) -> None:
    for path in re.findall(r"`((?:libs|services|proto|tests|k8s|docs)/[\w./-]*)`", page.read_text()):
        assert (ROOT / path).exists(), path


def test_commands_exist_with_their_options(command_line: set[str]) -> None:
    text = "\n".join(page.read_text() for page in PAGES)
    used = re.findall(r"(?:^|`|&& |\.venv/bin/)ropewalk ([a-z][a-z-]*)([^`\n|&]*)", text, re.MULTILINE)
    assert {command for command, _ in used} >= {"demo", "up", "down", "status", "submit", "query", "ledger"}
    for command, rest in used:
        assert command in command_line, f"ropewalk {command}"
        for option in re.findall(r"--[a-z-]+", rest.partition("#")[0]):
            known = [line for line in command_line if line.split()[0] == command and line.split()[-1] == option]
            assert known, f"ropewalk {command} {option}"


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = "\n".join(page.read_text() for page in PAGES)
    commands = re.findall(r"(?:`|^)make ([a-z -]+)", text, re.MULTILINE)
    used = {target for command in commands for target in command.split()}
    assert used >= {"demo", "test", "freeze"}
    assert used <= targets


def test_recipes_are_complete_and_accepted() -> None:
    found = [yaml.safe_load(block) for block in blocks("yaml")]
    assert len(found) == 9
    for fields in found:
        assert complete(parse_recipe(fields)).plan is not None


def test_python_examples_compile() -> None:
    found = blocks("python")
    assert len(found) >= 4
    for block in found:
        compile(block, "README.md", "exec")


def test_shell_examples_parse() -> None:
    found = blocks("bash")
    assert len(found) > 5
    read = [subprocess.run(["bash", "-n"], input=block, text=True, capture_output=True) for block in found]
    assert [each.stderr for each in read if each.returncode] == []


def test_settings_in_the_text_exist() -> None:
    known = {setting.name for setting in script(ROOT / "tests" / "interface.py").own_settings()}
    for told_to_compose in (ROOT / "compose.yaml", ROOT / ".ci" / "compose"):
        known |= set(re.findall(r"\$\{(ROPEWALK_[A-Z_]+[A-Z])", told_to_compose.read_text()))
    for page in PAGES:
        assert set(re.findall(r"ROPEWALK_[A-Z_]+[A-Z]", page.read_text())) <= known, page.name
