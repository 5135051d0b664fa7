"""Tasks that fail, under a Ray of their own; prints what arrives of each. Run as a script: Ray takes its token once."""

import time

from ropewalk.preprocessing.adapters.workers import Workers
from ropewalk.stages.errors import StageError


def refuse() -> None:
    raise StageError("the document a.txt cannot be read")


def stumble() -> None:
    raise KeyError("which")


def fill() -> None:
    raise OSError(28, "No space left on device")


def dawdle() -> None:
    time.sleep(60)


def main() -> None:
    with Workers("", 1) as workers:
        for task in (refuse, stumble, fill):
            try:
                workers.all(task, [()])
            except (StageError, KeyError, OSError) as error:
                print(f"{type(error).__name__}: {error}")
        began = time.monotonic()
        try:
            print(*workers.each(dawdle, [()], until=began + 0.2))
        except TimeoutError:
            print(f"late, and soon said so: {time.monotonic() - began < 5}")


if __name__ == "__main__":
    main()
