"""Folders that somebody else could have made first."""

import os
import stat
import subprocess
import sysconfig
from pathlib import Path

import pytest

from ropewalk.local.layout import StatePathError, layout_of
from ropewalk.local.nats_config import BusAccounts, BusServer, nats_config
from ropewalk.local.port_claims import PortClaims
from ropewalk.runtime.own_folder import ForeignFolderError, make_own_folder

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
    with pytest.raises(ForeignFolderError):
        PortClaims(path).claim(4222)
    assert kind != "link" or mode_of(elsewhere) == 0o755


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a folder away")
def test_a_folder_of_somebody_else_is_never_entered(tmp_path):
    folder = tmp_path / "theirs"
    folder.mkdir(mode=0o777)
    os.chown(folder, 65534, 65534)
    with pytest.raises(ForeignFolderError, match="was made by somebody else"):
        make_own_folder(folder)
    assert list(folder.iterdir()) == []


def test_rays_folder_lies_in_the_state_folder_where_its_sockets_have_room():
    assert layout_of(Path("/home/ann/.ropewalk")).ray_temp == Path("/home/ann/.ropewalk/ray/s")
    for name in ("x" * 60, "with space", "ü", 'a"b', "$x"):
        outside = layout_of(Path("/home/ann") / name).ray_temp
        assert len(os.fsencode(outside)) <= 45
        assert "ann" not in str(outside)


def test_two_users_of_one_machine_have_folders_of_their_own(monkeypatch):
    shared = layout_of(Path("/srv/a folder that both call theirs"))
    ours = shared.ray_temp
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    assert shared.ray_temp != ours


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
