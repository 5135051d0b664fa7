"""What a task raises arrives as what it is: a sentence as a sentence, an error as that error, without Ray around it."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parent / "failing_tasks.py"


def test_errors_of_tasks_arrive_as_they_are() -> None:
    ended = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True, timeout=120, check=False)
    assert ended.stdout.splitlines() == [
        "StageError: the document a.txt cannot be read",
        "KeyError: 'which'",
        "OSError: [Errno 28] No space left on device",
        "late, and soon said so: True",
    ], ended.stderr
