"""`python -m ropewalk.ingest`."""

from ropewalk.ingest.app import build
from ropewalk.ingest.settings import Settings

if __name__ == "__main__":
    build(Settings()).run()
