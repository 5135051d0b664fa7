"""Tasks that fail, under a Ray of their own; prints what arrives of each. Run as a script: Ray takes its token once."""

from ropewalk.preprocessing.adapters.workers import Workers
from ropewalk.stages.errors import StageError


def refuse() -> None:
    raise StageError("the document a.txt cannot be read")


def stumble() -> None:
    raise KeyError("which")


def fill() -> None:
    raise OSError(28, "No space left on device")


def main() -> None:
    with Workers("", 1) as workers:
        for task in (refuse, stumble, fill):
            try:
                workers.all(task, [()])
            except (StageError, KeyError, OSError) as error:
                print(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
