"""`python -m ropewalk.preprocessing`."""

from ropewalk.preprocessing.app import build
from ropewalk.preprocessing.settings import Settings

if __name__ == "__main__":
    build(Settings()).run()
