"""`python -m chaos NAME` is one instance of one service. Children of it import nothing of this."""

import sys

if __name__ == "__main__":
    from chaos.pipeline import build

    from ropewalk.runtime.settings import RuntimeSettings

    build(sys.argv[1], RuntimeSettings()).run()
