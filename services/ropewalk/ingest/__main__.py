"""`python -m ropewalk.ingest`."""

from ropewalk.ingest.app import build
from ropewalk.ingest.settings import Settings
from ropewalk.runtime.start import start

if __name__ == "__main__":
    start(build, Settings)
