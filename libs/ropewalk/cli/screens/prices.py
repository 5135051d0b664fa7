"""What a thousand requests cost today and baked, and when that pays: the same table before a run and after it."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ropewalk.cli.screens.terminal import Listing, console, say, titled
from ropewalk.report.facts import money
from ropewalk.usecases.prices import Switch, Tariff

SHARING_DAYS = 30  # whose requests share the training
Ways = Mapping[str, Sequence[Switch]]  # by today's way: at the means, then where known at the bounds of their intervals
_COLUMNS = ("1,000 requests", "baked", "pays after", "today's way")


def show_prices(ways: Ways, tariff: Tariff) -> None:
    """The table, and what in it nobody has measured."""
    rows = [(*_cells(switches, tariff.requests_a_day), name) for name, switches in ways.items()]
    console.print(titled("price", Listing(_COLUMNS, rows, numbers=_COLUMNS[:-1])))
    for switch in [switches[0] for switches in ways.values()][:1]:
        added = switch.after_with_training(SHARING_DAYS * tariff.requests_a_day) - switch.after
        say(f"  the training of {money(switch.training)} adds {money(added)} to that in {SHARING_DAYS} days")
    volume, busy = f"{tariff.requests_a_day:,.0f}", f"{tariff.busy_share:.0%}"
    say(f"  assumed: prices of {tariff.date} (or --prices FILE), {volume} requests a day,")
    say(f"  machines busy {busy} of the time; a model paid by the token counts tokens as")
    say("  this one and answers as briefly")


def prices_as_json(ways: Ways, tariff: Tariff) -> list[dict[str, Any]]:
    """A value for each way; of each number its bounds, too, where they are known."""
    return [
        asdict(value)
        | {
            "from": name,
            "times_cheaper": value.times_cheaper,
            "after_with_training": value.after_with_training(SHARING_DAYS * tariff.requests_a_day),
            "break_even_requests": value.break_even_requests,
            "break_even_days": value.break_even_days(tariff.requests_a_day),
        }
        | ({"least_saving": asdict(bounds[0]), "most_saving": asdict(bounds[1])} if bounds else {})
        for name, (value, *bounds) in ways.items()
    ]


def _cells(ways: Sequence[Switch], requests_a_day: float) -> tuple[str, ...]:
    days = ways[0].break_even_days(requests_a_day) or 0.0
    return (
        _between(money, [way.now for way in ways]),
        _between(money, [way.after for way in ways]),
        _between(_requests, [way.break_even_requests for way in ways]) + (f", {days:,.0f} days" if days >= 2 else ""),
    )


def _between(written: Callable[[float | None], str], numbers: Sequence[float | None]) -> str:
    """`$0.27 [$0.25, $0.29]`; without brackets where the bounds are not known or read the same."""
    value, *bounds = numbers
    low_to_high = sorted(bounds, key=lambda bound: math.inf if bound is None else bound)
    shown = [written(bound) for bound in low_to_high]
    return written(value) if set(shown) <= {written(value)} else f"{written(value)} [{', '.join(shown)}]"


def _requests(number: float | None) -> str:
    return "never" if number is None or math.isinf(number) else f"{math.ceil(number):,}"
