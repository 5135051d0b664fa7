"""Folders that somebody else could have made first."""

import os
import shutil
import stat
import subprocess
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ropewalk.local.broker.config import BusAccounts, BusServer, nats_config
from ropewalk.local.layout import StatePathError, layout_of
from ropewalk.local.port_claims import PortClaims
from ropewalk.runtime.own_folder import ForeignFolderError, make_own_folder
from ropewalk.runtime.plain_folder import plain_folder, remove_plain_folder
from ropewalk.trainer.settings import Settings as TrainerSettings

NATS = Path(sysconfig.get_path("scripts")) / "nats-server"
ODD_NAMES = ["with space", 'dou"ble', "it's", "back\\slash", "$HOME", "#1", "a;b", "{x}", "%20", "Größe-日本", "star*"]


def mode_of(path):
    return stat.S_IMODE(path.lstat().st_mode)


def test_a_folder_is_ours_alone_and_may_be_taken_again(tmp_path):
    folder = tmp_path / "ours"
    for _ in range(2):
        make_own_folder(folder)
        assert mode_of(folder) == 0o700
    folder.chmod(0o777)
    make_own_folder(folder)
    assert mode_of(folder) == 0o700


@pytest.mark.parametrize("kind", ["link", "file", "link to nothing"])
def test_what_is_no_folder_is_never_entered(tmp_path, kind):
    elsewhere, path = tmp_path / "elsewhere", tmp_path / "path"
    if kind == "file":
        path.write_text("")
    else:
        if kind == "link":
            elsewhere.mkdir(mode=0o755)
        path.symlink_to(elsewhere)
    with pytest.raises(ForeignFolderError, match="set TMPDIR"):
        make_own_folder(path)
    assert PortClaims(path).claim(4222)  # a stranger there stops nobody
    assert kind != "link" or not list(elsewhere.iterdir())
    assert kind != "link" or mode_of(elsewhere) == 0o755


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a folder away")
def test_a_folder_of_somebody_else_is_never_entered(tmp_path):
    folder = tmp_path / "theirs"
    folder.mkdir(mode=0o777)
    os.chown(folder, 65534, 65534)
    with pytest.raises(ForeignFolderError, match="was made by somebody else"):
        make_own_folder(folder)
    assert list(folder.iterdir()) == []


@pytest.fixture
def everybodys(monkeypatch):
    """A short folder where everybody may make folders."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o1777)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    shutil.rmtree(folder)


def test_rays_folder_lies_in_the_state_folder_where_its_sockets_have_room(tmp_path, everybodys):
    assert layout_of(Path("/home/ann/.ropewalk")).ray_temp == Path("/home/ann/.ropewalk/ray/s")
    for name in ("x" * 60, "with space", "ü", 'a"b', "$x"):
        layout = layout_of(tmp_path / name)
        outside = layout.ray_temp
        assert len(os.fsencode(outside)) <= 45
        assert outside.parent.parent == everybodys
        assert mode_of(outside.parent) == 0o700
        assert layout.ray_temp == outside  # the same for everyone who asks
        layout.remove_ray()
    assert list(everybodys.iterdir()) == []


def test_no_name_outside_of_the_state_folder_can_be_guessed(tmp_path, everybodys):
    state = tmp_path / "a state folder"
    seen = set()
    for _ in range(3):
        folders = [plain_folder(state, "triton"), layout_of(state).ray_home, TrainerSettings(state_dir=state).ray_tmp]
        seen |= {folder for folder in folders if folder.parent == everybodys}
        for name in ("triton", "ray", "trainer-ray"):
            remove_plain_folder(state, name)
    assert len(seen) == 9
    assert list(everybodys.iterdir()) == []


@pytest.mark.parametrize(
    "taken_by", ["a link", "a folder open to all", "a file", "somebody else", "nobody: it is gone"]
)
def test_a_folder_that_was_taken_from_us_is_made_anew_and_never_removed(tmp_path, everybodys, taken_by):
    state = tmp_path / "a state folder"
    first, elsewhere = plain_folder(state, "triton"), tmp_path / "elsewhere"
    (elsewhere / "kept").mkdir(parents=True)
    first.rmdir()
    match taken_by:
        case "a link":
            first.symlink_to(elsewhere)
        case "a folder open to all":
            first.mkdir()
            first.chmod(0o777)
        case "a file":
            first.touch()
        case "somebody else":
            if os.geteuid():
                pytest.skip("only root may give a folder away")
            first.mkdir(0o700)
            os.chown(first, 65534, 65534)
    second = plain_folder(state, "triton")
    assert second != first
    remove_plain_folder(state, "triton")
    assert not second.exists()
    assert (elsewhere / "kept").exists()
    assert os.path.lexists(first) == (taken_by != "nobody: it is gone")


def test_those_who_ask_at_once_are_told_the_same_folder(tmp_path, everybodys):
    with ThreadPoolExecutor(8) as threads:
        told = set(threads.map(lambda _: plain_folder(tmp_path / "a state folder", "ray"), range(32)))
    assert len(told) == 1 == len(list(everybodys.iterdir()))


def test_ports_are_claimed_where_no_stranger_can_be_first(tmp_path, monkeypatch, everybodys):
    monkeypatch.setenv("HOME", str(tmp_path))
    first, second = PortClaims(), PortClaims()
    assert (first.claim(4222), second.claim(4222)) == (True, False)
    assert list(everybodys.iterdir()) == []


def test_everything_in_the_state_folder_is_for_its_owner(tmp_path):
    layout = layout_of(tmp_path / "deep" / "state")
    (tmp_path / "deep" / "state" / "logs").mkdir(parents=True, mode=0o755)
    layout.create()
    for folder in (layout.state_dir, layout.logs, layout.nats_store, layout.reports):
        assert mode_of(folder) == 0o700


@pytest.mark.parametrize("name", ["a?b", "new\nline", "tab\t", "\x1b[31m", "\udcff", "\u202e"])
def test_a_path_that_an_engine_cannot_be_told_is_refused_in_one_sentence(tmp_path, name):
    with pytest.raises(StatePathError, match="choose another one with --state-dir") as refused:
        layout_of(tmp_path / name).create()
    assert str(refused.value).isprintable()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ODD_NAMES)
def test_the_broker_reads_a_store_whatever_its_path(tmp_path, name):
    config = tmp_path / "nats.conf"
    accounts = BusAccounts({}, {"operator": "o"}, "s")
    config.write_text(nats_config(BusServer(store=tmp_path / name, port=4222), accounts))
    checked = subprocess.run([NATS, "-t", "-c", config], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    assert "http" not in config.read_text()
