"""`python -m ropewalk.preprocessing`."""

from ropewalk.preprocessing.app import build
from ropewalk.preprocessing.settings import Settings
from ropewalk.runtime.start import start

if __name__ == "__main__":
    start(build, Settings)
