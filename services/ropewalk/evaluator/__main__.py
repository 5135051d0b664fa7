"""`python -m ropewalk.evaluator`."""

from ropewalk.evaluator.app import build
from ropewalk.evaluator.settings import Settings

if __name__ == "__main__":
    build(Settings()).run()
