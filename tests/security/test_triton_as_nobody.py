"""What another user of the machine can do with Triton: nothing. Scripted as user `nobody`, where the runner is root."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from parts.triton_process import TritonServer

from ropewalk.runtime.plain_folder import plain_folder, remove_plain_folder
from ropewalk.serving.adapters.triton_server import prepare
from ropewalk.serving.errors import ServingError
from ropewalk.serving.settings import Settings

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")
_TRIES = """
import socket, sys
for name in ("http", "grpc:8001", "metrics"):
    try:
        socket.socket(socket.AF_UNIX).connect(f"{sys.argv[1]}/{name}")
        print("REACHED", name)
    except PermissionError:
        print("denied", name)
"""


@pytest.fixture(scope="module")
def open_state() -> Iterator[Path]:
    """A state folder that everybody may enter, as if its owner had opened it."""
    folder = Path(tempfile.mkdtemp(prefix="rw-open-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def server(open_state: Path) -> Iterator[tuple[Settings, TritonServer]]:
    settings = Settings(state_dir=open_state)
    before = os.umask(0o022)
    server = TritonServer(settings, open_state / "triton.log")
    server.start()
    os.umask(before)
    for folder in (settings.triton_dir, settings.repository):
        folder.chmod(0o755)
    yield settings, server
    server.stop()


def as_nobody(*arguments: str) -> str:
    done = subprocess.run(
        ["/usr/bin/env", "python3", "-c", *arguments], user="nobody", group="nogroup", capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_nobody_reaches_no_socket_of_triton(server: tuple[Settings, TritonServer]) -> None:
    settings, _ = server
    said = as_nobody(_TRIES, str(settings.sockets.folder)).split("\n")
    assert said[:3] == ["denied http", "denied grpc:8001", "denied metrics"]


def test_what_nobody_sees_of_the_processes_holds_no_secret(server: tuple[Settings, TritonServer]) -> None:
    _, triton = server
    seen = as_nobody("import sys; print(open(sys.argv[1]).read())", f"/proc/{triton.pid}/cmdline")
    assert "tritonserver" in seen
    assert "restricted" not in seen
    with pytest.raises(AssertionError, match="Permission denied"):
        as_nobody("import sys; open(sys.argv[1]).read()", f"/proc/{triton.pid}/environ")


def test_triton_does_not_listen_in_a_folder_that_somebody_else_made_first(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path)
    settings.triton_dir.mkdir(parents=True)
    os.chown(settings.triton_dir, 65534, 65534)
    with pytest.raises(ServingError, match="was made by somebody else"):
        prepare(settings)


@pytest.mark.parametrize("odd", ["100%", "a b", "naïve", "quote'", "a:b,c", "$(id)", "a;b"])
def test_odd_letters_in_the_state_folder_do_not_reach_the_address(tmp_path: Path, odd: str) -> None:
    folder = plain_folder(tmp_path / odd, "triton")
    assert odd not in str(folder)
    remove_plain_folder(tmp_path / odd, "triton")
    with tempfile.TemporaryDirectory() as short:  # pytest's own folder may be too long for the address of a socket
        assert plain_folder(Path(short), "triton") == Path(short) / "triton"


def test_state_folders_with_long_names_have_different_short_folders(tmp_path: Path) -> None:
    one, two = (plain_folder(tmp_path / ("x" * 100) / name, "triton") for name in "ab")
    assert one != two
    assert one.stat().st_mode & 0o077 == 0
    for name in "ab":
        remove_plain_folder(tmp_path / ("x" * 100) / name, "triton")
