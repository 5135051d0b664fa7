"""`python -m ropewalk.evaluator`."""

from ropewalk.evaluator.app import build
from ropewalk.evaluator.settings import Settings
from ropewalk.runtime.start import start

if __name__ == "__main__":
    start(build, Settings)
