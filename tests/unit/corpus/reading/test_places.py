"""Nothing is read through a link out of a source, from a place that is closed, or from what is no file."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from ropewalk.corpus.reading.contents import contents
from ropewalk.corpus.reading.places import Reach
from ropewalk.corpus.reading.records import Flaw, Limits
from ropewalk.corpus.reading.sources import list_files
from ropewalk.recipes.recipe import SourceRecipe

Read = Callable[..., Any]


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir()
    (folder / "credentials.txt").write_text("a secret")
    return folder / "credentials.txt"


def test_a_link_out_of_the_source_is_not_followed(source: Path, secret: Path, read: Read) -> None:
    (source / "good.txt").write_text("good")
    (source / "secret.txt").symlink_to(secret)
    (source / "up.txt").symlink_to("../state/credentials.txt")
    (source / "twice.txt").symlink_to(source / "secret.txt")
    found = read(source)
    assert found.texts == {"good.txt": "good"}
    assert found.reasons == dict.fromkeys(("secret.txt", "twice.txt", "up.txt"), "link_outside")
    assert "name what it leads to as a source" in found.flaws[0][1].detail


def test_a_link_within_the_source_is_read(source: Path, read: Read) -> None:
    (source / "a.txt").write_text("good")
    (source / "b.txt").symlink_to("a.txt")
    assert read(source).texts == {"a.txt": "good", "b.txt": "good"}


def test_a_source_may_itself_be_reached_through_a_link(tmp_path: Path, source: Path, read: Read) -> None:
    (source / "a.txt").write_text("good")
    (tmp_path / "alias").symlink_to(source)
    (tmp_path / "alias.txt").symlink_to(source / "a.txt")
    assert read(tmp_path / "alias").texts == {"a.txt#1": "good"}
    assert read(tmp_path / "alias.txt").texts == {"alias.txt#1": "good"}


def test_linked_folders_are_set_aside_with_the_true_reason(source: Path, secret: Path, read: Read) -> None:
    (source / "real").mkdir()
    (source / "real" / "a.txt").write_text("good")
    (source / "again").symlink_to("real")
    (source / "round").symlink_to(source)
    (source / "out").symlink_to(secret.parent)
    (source / "root").symlink_to("/")
    found = read(source)
    assert found.texts == {"real/a.txt": "good"}
    assert found.reasons == {
        "again": "linked_folder",
        "out": "link_outside",
        "root": "link_outside",
        "round": "linked_folder",
    }


def test_pipes_sockets_devices_and_broken_links_are_set_aside_and_block_nobody(
    source: Path, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(source)  # the path of a socket is short
    os.mkfifo("pipe.jsonl")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket.txt")
    (source / "device.txt").symlink_to("/dev/zero")
    (source / "terminal.gz").symlink_to("/dev/stdin")
    (source / "kernel.txt").symlink_to("/proc/self/environ")
    (source / "dangling.txt").symlink_to("nowhere")
    (source / "loop.txt").symlink_to("loop.txt")
    found = read(source)
    assert found.texts == {}
    assert found.reasons.pop("terminal.gz") in {"no_file", "link_outside", "unreadable"}
    assert {path: reason for path, reason in found.reasons.items() if path != "terminal.gz"} == {
        "dangling.txt": "unreadable",
        "device.txt": "no_file",
        "kernel.txt": "link_outside",
        "loop.txt": "unreadable",
        "pipe.jsonl": "no_file",
        "socket.txt": "no_file",
    }


@pytest.mark.parametrize("closed", ["/proc/self", "/sys/kernel", "/dev/zero", "/proc/self/environ"])
def test_the_kernels_own_places_are_no_source(closed: str, read: Read) -> None:
    found = read(Path(closed))
    assert found.texts == {}
    assert set(found.reasons.values()) <= {"closed_place", "no_file"}


def test_a_closed_folder_within_a_source_is_passed_over(tmp_path: Path, source: Path, secret: Path, read: Read) -> None:
    (source / "a.txt").write_text("good")
    found = read(tmp_path, reach=Reach(closed=(secret.parent,)))
    assert found.texts == {"source/a.txt": "good"}
    assert found.reasons == {"state": "closed_place"}
    assert read(secret, reach=Reach(closed=(secret.parent,))).reasons == {"credentials.txt": "closed_place"}


def test_a_closed_folder_is_closed_under_its_other_names_too(tmp_path: Path, secret: Path, read: Read) -> None:
    (tmp_path / "alias").symlink_to(secret.parent)
    for reach in (Reach(closed=(secret.parent,)), Reach(closed=(tmp_path / "alias",))):
        for path in (secret.parent, tmp_path / "alias", tmp_path / "alias" / ".." / "state" / "credentials.txt"):
            assert set(read(path, reach=reach).reasons.values()) == {"closed_place"}


def test_a_second_name_of_a_file_of_the_stack_is_not_read(source: Path, secret: Path, read: Read) -> None:
    (source / "a.txt").write_text("good")
    (source / "b.txt").hardlink_to(source / "a.txt")
    (source / "secret.txt").hardlink_to(secret)
    for closed in (secret.parent, secret.parent.parent / "state", secret):
        found = read(source, reach=Reach(closed=(closed,)))
        assert found.texts == {"a.txt": "good", "b.txt": "good"}
        assert found.reasons == {"secret.txt": "closed_place"}


def test_with_roots_only_what_lies_below_them_is_read(tmp_path: Path, source: Path, read: Read) -> None:
    (source / "a.txt").write_text("good")
    assert read(source, reach=Reach(roots=(source,))).texts == {"a.txt#1": "good"}
    assert read(source, reach=Reach(roots=(tmp_path / "sour",))).reasons == {".": "closed_place"}
    assert read(source / "a.txt", reach=Reach(roots=(tmp_path / "other",))).reasons == {"a.txt": "closed_place"}


def test_a_file_that_becomes_a_link_or_a_pipe_behind_the_listing_is_not_read(source: Path, secret: Path) -> None:
    (source / "folder").mkdir()
    for name in ("a.txt", "b.txt", "folder/c.txt"):
        (source / name).write_text("good")
    recipe = SourceRecipe(path=str(source), licence="MIT")
    files = list_files(recipe)
    for name in ("a.txt", "b.txt", "folder/c.txt"):
        (source / name).unlink()
    (source / "a.txt").symlink_to(secret)
    os.mkfifo(source / "b.txt")
    (source / "folder").rmdir()
    (source / "folder").symlink_to(secret.parent)
    (secret.parent / "c.txt").write_text("another secret")
    found = [item for file in files for _, item in contents(file, recipe, Limits())]
    assert [item.reason for item in found if isinstance(item, Flaw)] == ["link_outside", "no_file", "link_outside"]


@pytest.mark.parametrize("raw", [b"caf\xe9.txt", b"a\nb\x1b[31m.txt", "\u202egpj.txt".encode(), b"\xff\xfe"])
def test_a_name_of_any_bytes_is_a_place_of_one_harmless_line(source: Path, raw: bytes, read: Read) -> None:
    (source / os.fsdecode(raw)).write_text("good")
    (source / "z.txt").write_text("good")
    found = read(source)
    assert len(found.contents) == 2
    for path in found.contents:
        assert path.encode().decode() == path
        assert path.isprintable()


def test_a_folder_with_a_name_that_is_not_utf8_is_entered(source: Path, read: Read) -> None:
    folder = source / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    (folder / "a.jsonl").write_text('{"text": "good"}\n{')
    (folder / "b.txt").write_bytes(b"\0")
    found = read(source, include=("**/*",))
    assert list(found.contents) == ["caf\\udce9/a.jsonl#1"]
    assert found.reasons == {"caf\\udce9/a.jsonl#2": "malformed_json", "caf\\udce9/b.txt": "binary"}


def test_a_tree_too_deep_for_the_system_is_set_aside_at_its_place(source: Path, read: Read) -> None:
    (source / "a.txt").write_text("good")
    here = os.open(source, os.O_RDONLY)
    try:
        for _ in range(25):
            os.mkdir("d" * 200, dir_fd=here)
            below = os.open("d" * 200, os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
    finally:
        os.close(here)
    found = read(source)
    assert found.texts == {"a.txt": "good"}
    ((place, flaw),) = found.flaws
    assert place.startswith("ddd")
    assert (flaw.reason, flaw.detail) == ("unreadable", "its path is longer than the system allows")


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without the rights of root, to whom nothing is forbidden."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_what_may_not_be_read_is_set_aside_at_its_place(read: Read) -> None:
    with TemporaryDirectory() as name:  # pytest's own folders are for their owner only
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "locked").mkdir()
        (folder / "a.txt").write_text("good")
        (folder / "b.txt").write_text("private")
        (folder / "b.txt").chmod(0)
        (folder / "locked").chmod(0)
        with as_nobody():
            found = read(folder)
        (folder / "locked").chmod(0o700)
    assert found.texts == {"a.txt": "good"}
    assert found.reasons == {"b.txt": "unreadable", "locked": "unreadable"}
    assert all("may not read it" in flaw.detail for _, flaw in found.flaws)
