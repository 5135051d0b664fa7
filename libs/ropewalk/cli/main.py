"""Entry point of `ropewalk`. It imports nothing by itself: what answers at once must not wait for the rest."""


def main() -> None:
    """Run `ropewalk`."""
    from ropewalk.cli.commands import run

    run()


if __name__ == "__main__":
    main()
