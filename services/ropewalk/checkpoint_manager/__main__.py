"""`python -m ropewalk.checkpoint_manager`."""

from ropewalk.checkpoint_manager.app import build
from ropewalk.checkpoint_manager.settings import Settings

if __name__ == "__main__":
    build(Settings()).run()
