"""Effects stay single: repeated messages, failing effects, processes killed at any point."""

import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ropewalk.runtime.inbox import Inbox

NUM_MESSAGES = 120
WORKER = """
import sys
from pathlib import Path
from ropewalk.runtime.inbox import Inbox

inbox = Inbox(Path(sys.argv[1]))
def count(database):
    database.execute("CREATE TABLE IF NOT EXISTS total (id INTEGER PRIMARY KEY, value INTEGER)")
    database.execute("INSERT INTO total VALUES (0, 1) ON CONFLICT DO UPDATE SET value = value + 1")
for number in range(int(sys.argv[2])):
    for _ in range(2):
        inbox.once(f"message-{number}", count)
"""


def note(database: sqlite3.Connection) -> None:
    database.execute("CREATE TABLE IF NOT EXISTS effect (value INTEGER)")
    database.execute("INSERT INTO effect VALUES (1)")


def num_effects(path: Path) -> int:
    with Inbox(path).transaction() as database:
        return int(database.execute("SELECT count(*) FROM effect").fetchone()[0])


def test_a_repeated_message_has_its_effect_once(tmp_path: Path) -> None:
    path = tmp_path / "inbox.db"
    assert [Inbox(path).once("m", note) for _ in range(3)] == [True, False, False]
    assert Inbox(path).once("another", note)
    assert num_effects(path) == 2


def test_an_effect_that_fails_leaves_nothing_and_may_be_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "inbox.db"

    def fail(database: sqlite3.Connection) -> None:
        note(database)
        raise OSError("the shelf is full")

    with pytest.raises(OSError, match="shelf"):
        Inbox(path).once("m", fail)
    assert Inbox(path).once("m", note)
    assert num_effects(path) == 1


def test_processes_killed_at_any_point_lose_and_double_no_effect(tmp_path: Path) -> None:
    seed = 20_261_125
    chance = random.Random(seed)
    path = tmp_path / "inbox.db"
    command = [sys.executable, "-c", WORKER, str(path), str(NUM_MESSAGES)]
    for _ in range(5):
        process = subprocess.Popen(command)
        deadline = time.monotonic() + 20
        while not path.exists() and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.3))  # where the kill falls is the point of the test
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run(command, check=True)
    with Inbox(path).transaction() as database:
        assert database.execute("SELECT value FROM total").fetchone() == (NUM_MESSAGES,), f"seed {seed}"
        assert database.execute("SELECT count(*) FROM inbox").fetchone() == (NUM_MESSAGES,)
