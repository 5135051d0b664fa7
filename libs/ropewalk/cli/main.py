"""Entry point of `ropewalk`. It imports next to nothing: what answers at once must not wait for the rest."""

import sys

from ropewalk.cli import quick, quick_status


def main() -> None:
    """Run `ropewalk`."""
    if quick.answer(sys.argv[1:]) or quick_status.answer(sys.argv[1:]):
        return
    from ropewalk.cli.tree import run

    run()


if __name__ == "__main__":
    main()
