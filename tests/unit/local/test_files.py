"""What the stack keeps on disk: secrets, state, logs, configuration."""

import io
import stat

import pytest

from ropewalk.local.broker.config import BusAccounts, BusServer, PlainServerError, ServerCertificate, nats_config
from ropewalk.local.broker.keys import SeedFileError, ensure_keys, replace_key
from ropewalk.local.credentials import ensure_credentials, read_credentials
from ropewalk.local.layout import layout_of
from ropewalk.local.logfiles import LONGEST_LINE, MAX_LOG_BYTES, bounded_lines, new_text, open_log, tail_lines
from ropewalk.local.ports import Ports
from ropewalk.local.state import StackState, endpoints_of, read_state, write_state
from ropewalk.status.seen import ProcessState


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


def a_state(**changes):
    ports = Ports()
    fields = {"supervisor_pid": 1, "state_dir": "/x", "ports": ports, "endpoints": endpoints_of(ports)}
    return StackState(**{**fields, "processes": (ProcessState(service="trainer", pid=7),), **changes})


def test_credentials_are_made_once_and_only_their_owner_may_read_them(tmp_path):
    path = tmp_path / "credentials.json"

    first = ensure_credentials(path)

    assert mode_of(path) == 0o600
    assert ensure_credentials(path) == first
    assert len(set(first.model_dump().values())) == len(first.model_dump())


def test_secret_that_an_older_version_did_not_know_is_added_and_the_others_stay(tmp_path):
    path = tmp_path / "credentials.json"
    path.write_text('{"nats_token": "of an older version", "demo_key": "kept"}')

    credentials = ensure_credentials(path)

    assert credentials.demo_key == "kept"
    assert len(credentials.nats_password) == 48
    assert read_credentials(path) == credentials


def test_secrets_do_not_show_in_a_representation(tmp_path):
    credentials = ensure_credentials(tmp_path / "credentials.json")

    assert credentials.nats_password not in repr(credentials)


def test_state_comes_back_as_it_was_written(tmp_path):
    write_state(tmp_path / "stack.json", a_state())

    assert read_state(tmp_path / "stack.json") == a_state()


@pytest.mark.parametrize("content", ["", "{}", "[1"])
def test_unreadable_state_counts_as_none(tmp_path, content):
    (tmp_path / "stack.json").write_text(content)

    assert read_state(tmp_path / "stack.json") is None


def test_endpoints_have_the_documented_keys_and_forms():
    endpoints = endpoints_of(Ports(openai=9999)).model_dump()

    assert set(endpoints) == {"nats", "openai", "triton_http", "triton_grpc", "clickhouse_http", "review"}
    assert endpoints["openai"] == "http://127.0.0.1:9999/v1"


def test_ray_folder_leaves_room_for_the_paths_of_its_sockets(tmp_path):
    deep = layout_of(tmp_path.joinpath(*["a-long-folder-name"] * 8))
    socket = deep.ray_temp / "session_2026-11-23_04-26-04_875516_4194304/sockets/plasma_store"

    assert len(str(socket)) < 107
    deep.remove_ray()


def test_two_state_folders_have_two_ray_folders(tmp_path):
    one, two = layout_of(tmp_path / "a"), layout_of(tmp_path / "b")
    assert one.ray_temp != two.ray_temp
    one.remove_ray()
    two.remove_ray()


def test_log_beyond_the_cap_is_rotated_at_the_next_start(tmp_path):
    path = tmp_path / "logs" / "x.log"
    path.parent.mkdir()
    path.write_bytes(b"o" * (MAX_LOG_BYTES + 1))

    with open_log(path) as log:
        log.write(b"new\n")

    assert path.read_bytes() == b"new\n"
    assert (tmp_path / "logs" / "x.log.1").stat().st_size == MAX_LOG_BYTES + 1


def test_tail_gives_the_last_lines_and_following_gives_the_rest(tmp_path):
    path = tmp_path / "x.log"
    path.write_text("one\ntwo\nthree\n")
    assert tail_lines(path, 2) == ["two", "three"]

    position = path.stat().st_size
    assert list(new_text(path, position)) == []
    with path.open("a") as log:
        log.write("four\n")
    assert list(new_text(path, position)) == [("four\n", position + 5)]


def test_following_starts_over_after_a_rotation(tmp_path):
    path = tmp_path / "x.log"
    path.write_text("fresh\n")

    assert list(new_text(path, 5000)) == [("fresh\n", 6)]


def test_what_was_added_comes_in_pieces_that_fit_into_memory(tmp_path):
    path = tmp_path / "x.log"
    text = "a" + "é" * 100_000
    path.write_text(text)

    pieces = [piece for piece, _ in new_text(path, 0)]

    assert "".join(pieces) == text
    assert max(map(len, pieces)) < 70_000


def test_of_a_line_without_end_only_its_beginning_is_read_into_memory():
    class Watched(io.StringIO):
        longest = 0

        def readline(self, size=-1):
            line = super().readline(size)
            self.longest = max(self.longest, len(line))
            return line

    log = Watched("first\n" + "x" * 95_000 + "\nlast")

    first, long, last = bounded_lines(log)

    assert (first, last) == ("first\n", "last")
    assert long == "x" * (LONGEST_LINE - 1) + "…\n"
    assert log.longest < LONGEST_LINE


def test_keys_are_made_once_and_only_their_owner_may_read_them(tmp_path):
    folder = tmp_path / "keys"

    first = ensure_keys(folder, ("trainer", "monitor"))

    assert mode_of(folder) == 0o700
    assert {mode_of(path) for path in folder.iterdir()} == {0o600}
    assert ensure_keys(folder, ("trainer", "monitor")) == first
    assert len(set(first.values())) == 2
    assert all(key.startswith("U") and len(key) == 56 for key in first.values())


def test_a_replaced_key_changes_that_user_only(tmp_path):
    first = ensure_keys(tmp_path, ("trainer", "monitor"))

    replaced = replace_key(tmp_path, "trainer")

    assert replaced != first["trainer"]
    assert ensure_keys(tmp_path, ("trainer", "monitor")) == {**first, "trainer": replaced}


@pytest.mark.parametrize("content", ["", "not a seed", "SUAAAA"])
def test_a_file_that_is_no_seed_is_named(tmp_path, content):
    (tmp_path / "trainer.seed").write_text(content)

    with pytest.raises(SeedFileError, match=r"trainer\.seed holds no seed"):
        ensure_keys(tmp_path, ("trainer",))


def test_broker_syncs_always_listens_on_loopback_and_knows_its_users_only(tmp_path):
    accounts = BusAccounts({"trainer": "UABC"}, {"operator": "s3cret"})
    text = nats_config(BusServer(store=tmp_path, port=4333), accounts)

    assert "sync_interval: always" in text
    assert 'listen: "127.0.0.1:4333"' in text
    assert '"nkey": "UABC"' in text
    assert '"password": "s3cret"' in text
    assert "s3cret" not in repr(accounts)


@pytest.mark.parametrize("host", ["0.0.0.0", "10.1.2.3", "::", "nats.example"])
def test_a_server_that_others_can_reach_is_refused_without_a_certificate(tmp_path, host):
    accounts = BusAccounts({"trainer": "UABC"})
    certificate = ServerCertificate(tmp_path / "server.pem", tmp_path / "server.key")

    with pytest.raises(PlainServerError, match="needs a certificate"):
        nats_config(BusServer(store=tmp_path, port=1, host=host), accounts)

    server = BusServer(store=tmp_path, port=1, host=host, certificate=certificate)
    assert f'cert_file: "{certificate.certificate}"' in nats_config(server, accounts)
