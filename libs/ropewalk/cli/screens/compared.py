"""Two evaluations beside each other on the terminal."""

from collections.abc import Sequence

from ropewalk.cli.screens.terminal import Listing, console, say
from ropewalk.events.evaluation import Estimate


def show_compared(one: str, other: str, found: Sequence[Estimate]) -> None:
    """A row for each metric: positive says that the first is better."""
    say(f"{one} less {other}, on the items that both were scored on; above 0 the first is better", style="bold")
    heads = ("metric", "items in common", "clusters", "difference", "95 % interval", "so")
    rows = [
        (
            each.metric,
            f"{each.num_items:,}",
            f"{each.num_clusters:,}",
            each.written(each.value),
            f"{each.written(each.lower)} to {each.written(each.upper)}",
            verdict(each, one, other),
        )
        for each in found
    ]
    console.print(Listing(heads, rows, numbers=("items in common", "clusters", "difference")))
    say(f"  {found[0].method}", style="dim")


def verdict(difference: Estimate, one: str, other: str) -> str:
    """What the interval says."""
    if difference.lower > 0:
        return f"{one} is better"
    return f"{other} is better" if difference.upper < 0 else "can be chance"
