"""`python -m ropewalk.trainer`"""

from ropewalk.runtime.start import start
from ropewalk.trainer.app import build
from ropewalk.trainer.settings import Settings

if __name__ == "__main__":
    start(build, Settings)
