"""Task sets of an evaluation on the terminal."""

from math import isfinite

from ropewalk.cli.screens.terminal import Listing, console, say
from ropewalk.client.judged_sets import JudgedSet, kept_out, of_people_and_judges
from ropewalk.events.evaluation import Estimate
from ropewalk.tasksets.definition import OVERLAPS


def show_judged(found: JudgedSet) -> None:
    """Its estimates, what the format of the prompt changes, and what was kept from training."""
    each = found.section
    asked = f"{each.num_items:,} of {each.num_in_split:,} items ({each.split})"
    say(f"{each.task_set}: {asked}, {each.num_clusters} clusters", style="bold")
    heads = ("estimate", "of", "value", "interval", "role", "items as sure as", "method")
    console.print(Listing(heads, [_row(estimate) for estimate in found.estimates]))
    for metric, values in each.spread.items():
        theirs = each.opponent_spread.get(metric, ())
        told = f"; what is to beat {min(theirs):.3g} to {max(theirs):.3g}" if theirs else ""
        spread = f"{min(values):.3g} to {max(values):.3g}{told} ({each.num_spread} items)"
        say(f"  {metric} over {len(values)} templates: {spread}")
    if overlaps := [name for name in each.definitions if name in OVERLAPS]:
        say(f"  {', '.join(overlaps)}: correlation with people: not measured, so it decides nothing")
    for told in of_people_and_judges(each):
        say(f"  {told}")
    say(f"  {kept_out(each)}")


def _row(estimate: Estimate) -> tuple[str, ...]:
    bounds = f"{estimate.written(estimate.lower)} to {estimate.written(estimate.upper)} ({estimate.sureness})"
    bounds = bounds if isfinite(estimate.lower) else "–"  # before people have labelled anything
    alone = f"{estimate.num_effective:.0f} alone" if estimate.num_effective else ""
    name = estimate.metric.replace(f"{estimate.task_set}/", "")
    what = f"gain over {estimate.subject}" if estimate.paired else estimate.subject
    return name, what, estimate.written(estimate.value), bounds, estimate.role, alone, estimate.method
