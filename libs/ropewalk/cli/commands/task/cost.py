"""`cost compare`: what the model of a run saves, from what was measured and recorded, and a price table."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from ropewalk.cli.connecting import call, settings_of
from ropewalk.cli.options import AsJson, RunId, StateDir
from ropewalk.cli.screens.prices import SHARING_DAYS, prices_as_json, show_prices
from ropewalk.cli.screens.terminal import Listing, console, print_json, say, titled
from ropewalk.client.goodput import productive
from ropewalk.report.costs import SPENT, CostComparison, RunCost, compare_costs
from ropewalk.report.facts import duration, money
from ropewalk.report.specialist import measured
from ropewalk.usecases.comparison import CANDIDATE, WAITING
from ropewalk.usecases.prices import Tariff
from ropewalk.usecases.tariff import load_tariff

app = typer.Typer(name="cost", no_args_is_help=True, help="What requests cost, before and after a task is baked.")


@app.command()
def compare(
    run: RunId,
    requests_a_day: Annotated[
        float | None, typer.Option(min=0.001, max=1e12, metavar="N", help="Instead of the price table's.")
    ] = None,
    prices: Annotated[Path | None, typer.Option("--prices", metavar="FILE", help="Your own price table.")] = None,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Price 1,000 requests before and after a run baked a task, its training included, and say when that pays.

    Tokens and seconds are those of the run's evaluation, its cost that of the log; prices are assumptions.

    Example: ropewalk cost compare my-task-261127-101500-1a2b --requests-a-day 50000
    """
    tariff = load_tariff(prices)
    if requests_a_day is not None:
        tariff = tariff.model_copy(update={"requests_a_day": requests_a_day})
    settings = settings_of(state_dir)
    objects = settings.store.connect()
    found = call(lambda client: compare_costs(client, run, objects, tariff), settings)
    if as_json:
        print_json(_as_json(found, tariff))
        return
    section = found.section
    rows = [
        (own.quantity, *(measured(section.levels[name][metric], metric) for name in (section.before, CANDIDATE)))
        for metric, own in section.levels[CANDIDATE].items()
        if metric in (*SPENT, WAITING)
    ]
    heads = ("of a request", f"the base, {section.before}", "baked")
    console.print(titled(f"measured over {section.num_examples} held-out examples", Listing(heads, rows)))
    show_prices(found.ways, tariff)
    for sentence in section.sentences():
        say(f"  {sentence}")
    say("  in brackets from the least to the most saving that the intervals of tokens and seconds allow")
    for sentence in _bill(found.run):
        say(f"  {sentence}")


def _bill(run: RunCost) -> Iterator[str]:
    used = f"{run.cpu_seconds:,.0f} CPU-seconds at {money(run.usd_per_cpu_hour)} an hour"
    if run.gpu_seconds:
        used += f", {run.gpu_seconds:,.0f} GPU-seconds at {money(run.usd_per_gpu_hour)} an hour"
    yield f"recorded: the run cost {money(run.usd)}, {used} (the prices of its recipe, assumptions unless you set them)"
    if run.account.wall_s:
        trained = money(run.usd_by_stage.get("train"))
        yield f"of that the training {trained}: {duration(run.account.wall_s)}, {productive(run.account)}"


def _as_json(found: CostComparison, tariff: Tariff) -> dict[str, Any]:
    """`measured` and `recorded` are of the run, `assumed` is what it says; each line of `tariff` says what it is."""
    section = found.section
    taken = {
        name: {
            metric: section.levels[column][metric].model_dump(include={"value", "lower", "upper", "level"})
            for metric in (*SPENT, WAITING)
            if metric in section.levels[column]
        }
        for name, column in (("now", section.before), ("after", CANDIDATE))
    }
    shared = {"num_examples": section.num_examples, "num_threads": section.num_threads, "now_is": section.before}
    return {
        "run_id": found.run_id,
        "measured": shared | taken,
        "recorded": asdict(found.run) | {"account": found.run.account.model_dump()},
        "assumed": tariff.model_dump(include={"requests_a_day", "busy_share"}) | {"sharing_days": SHARING_DAYS},
        "tariff": tariff.model_dump(mode="json", include={"date", "by_token", "by_hour"}),
        "usd_per_1000_requests": prices_as_json(found.ways, tariff),
    }
