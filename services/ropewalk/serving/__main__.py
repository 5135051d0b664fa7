"""`python -m ropewalk.serving`."""

from ropewalk.runtime.start import start
from ropewalk.serving.app import build
from ropewalk.serving.settings import Settings

if __name__ == "__main__":
    start(build, Settings)
