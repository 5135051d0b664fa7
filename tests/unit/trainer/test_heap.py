"""What is freed in one step is there for the next without the kernel."""

import subprocess
import sys

_STEPS = """
import resource
from ropewalk.trainer.adapters.heap import keep_heap

def step():
    return len([b"x" * (20 << 20) for _ in range(3)])

keep_heap()
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_large_buffers_of_every_step_cost_no_page_faults_after_the_first() -> None:
    num_faults = subprocess.run([sys.executable, "-c", _STEPS], capture_output=True, text=True, check=True).stdout

    assert int(num_faults) < 1000  # 5 steps have 76,800 pages
