"""Run the service: `python -m ropewalk.monitor`."""

from ropewalk.monitor.app import build
from ropewalk.monitor.settings import Settings

if __name__ == "__main__":
    build(Settings()).run()
