"""A copy of the repository in which a test adds something, as a person would, and counts the files it had to edit."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
# Also what `make docs` reads: the page of the measurements and the picture of the house are written from these.
_COPIED = (
    "libs",
    "services",
    "proto",
    "docs",
    "benchmarks",
    "tests/golden",
    "tests/interface.py",
    "README.md",
    "pyproject.toml",
)
_BUILT = shutil.ignore_patterns("__pycache__", "*.png", "*.gif")


@dataclass
class Copy:
    """`edited` are the files that a person touches; what a command of the Makefile writes is not among them."""

    root: Path
    edited: set[str] = field(default_factory=set)

    def insert(self, path: str, text: str, *, after: str = "", before: str = "") -> None:
        """Add text to a file, at the only place of another text; without one, at its end."""
        self.edited.add(path)
        file = self.root / path
        whole = file.read_text() if file.exists() else ""
        anchor = after or before
        if not anchor:
            file.write_text(whole + text)
            return
        assert whole.count(anchor) == 1, f"{path} holds {anchor!r} {whole.count(anchor)} times"
        file.write_text(whole.replace(anchor, after + text + before))

    def run(self, *arguments: str, **environment: str) -> str:
        """Run Python on the copy and return what it prints."""
        paths = os.pathsep.join(str(self.root / folder) for folder in ("libs", "services"))
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.root,
            env={**os.environ, **environment, "PYTHONPATH": paths},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def written_by_commands(self) -> set[str]:
        """Run `make contracts-baseline docs` and name the files that it changed or made."""
        before = self._contents()
        self.run("proto/contracts.py")
        self.run("docs/generate.py")
        now = self._contents()
        return {path for path in now if now[path] != before.get(path)}

    def _contents(self) -> dict[str, bytes]:
        files = (path for path in self.root.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
        return {path.relative_to(self.root).as_posix(): path.read_bytes() for path in files}


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    """A copy of everything that says what Ropewalk is; tests beside this one add other things to it."""
    copied = Copy(tmp_path / "ropewalk")
    for name in _COPIED:
        source, target = ROOT / name, copied.root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=_BUILT)
        else:
            shutil.copy(source, target)
    return copied
