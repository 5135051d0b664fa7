"""`python -m ropewalk.checkpoint_manager`."""

from ropewalk.checkpoint_manager.app import build
from ropewalk.checkpoint_manager.settings import Settings
from ropewalk.runtime.start import start

if __name__ == "__main__":
    start(build, Settings)
