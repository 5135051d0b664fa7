"""Work in a process of its own: results, errors, and that nothing is left behind."""

import asyncio
import importlib.util
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from ropewalk.stages.child import run_child
from ropewalk.stages.errors import ChildDiedError, StageError, WorkRaisedError

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER))  # spawned children import the functions by this name
import child_functions as work  # noqa: E402

assert importlib.util.find_spec("child_functions") is not None


async def gone(pid: int) -> bool:
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        await asyncio.sleep(0.05)
    return False


async def test_messages_arrive_in_order_before_the_result() -> None:
    seen: list[int] = []

    async def note(number: int) -> None:
        seen.append(number)

    assert await run_child(work.count, 50, note) == sum(range(50))
    assert seen == list(range(50))


async def test_a_sentence_for_the_user_crosses_the_process_border() -> None:
    with pytest.raises(StageError, match=r"^the corpus is empty$"):
        await run_child(work.refuse, "the corpus is empty")


async def test_an_error_of_the_work_is_told_apart_from_a_death_in_one_line() -> None:
    with pytest.raises(WorkRaisedError, match=r"^KeyError: 'which' \(child_functions.py:\d+, crash\)$"):
        await run_child(work.crash, "which")


async def test_a_fault_of_the_machine_is_a_death() -> None:
    with pytest.raises(ChildDiedError, match=r"^OSError: \[Errno 28\] No space left on device \(.*, fill\)$"):
        await run_child(work.fill, None)


async def test_an_error_as_long_as_a_document_is_cut() -> None:
    with pytest.raises(WorkRaisedError) as raised:
        await run_child(work.crash, "line\n\x1b[31m" * 100_000)
    assert len(str(raised.value)) < 1200
    assert str(raised.value).isprintable()


async def test_a_silent_death_is_named() -> None:
    with pytest.raises(ChildDiedError, match="die ended with status 3 and no result"):
        await run_child(work.die, 3)


async def test_cpu_time_is_counted() -> None:
    used: list[float] = []
    await run_child(work.burn, 0.3, on_cpu=used.append)
    assert used[0] >= 0.3


async def test_cancelling_kills_the_child_and_its_children() -> None:
    started: asyncio.Future[tuple[int, int]] = asyncio.get_running_loop().create_future()

    async def note(pids: tuple[int, int]) -> None:
        started.set_result(pids)

    task = asyncio.create_task(run_child(work.hang_with_grandchild, None, note))
    child, grandchild = await started
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await gone(child)
    assert await gone(grandchild)


async def test_what_a_child_says_while_it_leaves_is_heard() -> None:
    began, said = asyncio.Event(), []

    async def note(word: str) -> None:
        said.append(word)
        began.set()

    task = asyncio.create_task(run_child(work.leave_in_good_order, None, note))
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert said == ["began", "saved"]


async def test_a_child_dies_with_its_killed_parent(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "import asyncio, sys\n"
        f"sys.path.insert(0, {str(FOLDER)!r})\n"
        "import child_functions\n"
        "from ropewalk.stages.child import run_child\n"
        "async def note(pids):\n"
        "    print(*pids, flush=True)\n"
        "if __name__ == '__main__':\n"
        "    asyncio.run(run_child(child_functions.hang_with_grandchild, None, note))\n"
    )
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child, grandchild = (int(pid) for pid in parent.stdout.readline().split())
        parent.kill()
        parent.wait()
        assert await gone(child)
        psutil.Process(grandchild).kill()
