"""What the card says of a model that was made for one task: metrics and prices before and after, its learning curve."""

from collections.abc import Iterator

from ropewalk.events.evaluation import Estimate
from ropewalk.report.card import LearningCurve, ReportCard, Specialist
from ropewalk.report.costs import taken, ways_of
from ropewalk.report.facts import money
from ropewalk.report.tables import CardRow, CardTable
from ropewalk.usecases.comparison import CANDIDATE, CORE_SECONDS, WAITING
from ropewalk.usecases.prices import Switch
from ropewalk.usecases.switching import by_token, own_price
from ropewalk.usecases.tariff import load_tariff

_HEADS = {
    CANDIDATE: "this model",
    "instruction": "base, instruction",
    "shots": "base, examples too",
    "base": "base, short prompt",
    "production": "in production",
}
_SECONDS = (WAITING, CORE_SECONDS)
_HOW = (
    "The error is taken to fall as an inverse power of the number of examples (Cortes et al. 1993; Hestness et al. "
    "2017) and each doubling to bring no more than the last one; 95% intervals from resampled clusters of held-out "
    "examples, the same for all points. Each point is one training: what another draw or seed would change is in none."
)


def specialist_table(specialist: Specialist) -> CardTable:
    """A row for each metric and one for the price; a column for each that was asked, and the gain."""
    section = specialist.section
    before = section.before
    others = [name for name in _HEADS if name in section.levels and name not in (CANDIDATE, before)]
    head = ("", _HEADS[CANDIDATE], _HEADS[before], "gain over that", *(_HEADS[name] for name in others))
    rows = []
    for metric, own in section.levels[CANDIDATE].items():
        ours, theirs, *rest = (measured(section.levels[name][metric], metric) for name in (CANDIDATE, before, *others))
        rows.append(CardRow((own.quantity, ours, theirs, measured(section.gains[before][metric], metric), *rest)))
    ours, theirs, *rest = (money(_price(specialist, name)) for name in (CANDIDATE, before, *others))
    rows.append(CardRow(("USD per 1,000 requests", ours, theirs, "", *rest), "total"))
    return CardTable(head, tuple(rows))


def specialist_sentences(card: ReportCard) -> Iterator[str]:
    """How it was measured, with which prices, and from when on it pays."""
    specialist = card.specialist
    assert specialist is not None, "there is a task"
    section, tariff = specialist.section, load_tariff()
    core = money(tariff.by_hour["cpu"].usd)
    yield (
        f"{section.num_examples} held-out examples, answered greedily and without constrained decoding; in brackets "
        f"{next(iter(section.levels[CANDIDATE].values())).level:.0%} intervals."
    )
    yield from (f"{sentence[:1].upper()}{sentence[1:]}." for sentence in section.sentences())
    if CORE_SECONDS not in section.levels[CANDIDATE]:
        yield "This evaluation did not measure what a request takes at full batch, so nothing is priced."
        return
    yield (
        f"Assumption: a core at {core} an hour, busy in {tariff.busy_share:.0%} of the hours that are paid. A request "
        "is priced by what it takes of a core at full batch; its seconds are those of one request at a time on "
        f"{section.num_threads} cores. Both are estimated from rates measured while evaluating."
    )
    ways = ways_of(section, tariff, card.usd or 0.0)
    for name, line in tariff.by_token.items():
        paid = _pays(card, section.before, ways[by_token(name)][0])
        yield f"Paid by the token ({name}, assumption: {line.source}), {paid}"


def _pays(card: ReportCard, before: str, switch: Switch) -> str:
    cost = f"the prompt of {_HEADS[before]!r} costs {money(switch.now)} per 1,000 requests"
    if card.usd is None:
        return f"{cost}; this run is not priced, so no break-even is known."
    requests, days = switch.break_even_requests, switch.break_even_days(load_tariff().requests_a_day)
    if requests is None or days is None:
        return f"{cost}: this model never pays for its training of {money(card.usd)}."
    when = f"{days:,.0f} days" if days >= 1 else "less than a day"
    often = f"{load_tariff().requests_a_day:,.0f} a day"
    return (
        f"{cost}: the run of {money(card.usd)} has paid for itself after {requests:,.0f} requests, {when} at {often}."
    )


def learning_table(curve: LearningCurve) -> CardTable:
    """A row for each point, a column for each metric."""
    names = {metric: level.quantity for point in curve.points for metric, level in point.levels.items()}
    rows = []
    for point in curve.points:
        size = f"{point.fraction:.0%}" + (f": {point.num_learnt:,}" if point.num_learnt else "")
        cells = (measured(point.levels[metric], metric) if metric in point.levels else "–" for metric in names)
        rows.append(CardRow((size, *cells), "dim" if point.missing else ""))
    return CardTable(("examples", *names.values()), tuple(rows))


def learning_sentences(curve: LearningCurve) -> tuple[str, ...]:
    """The advice, then on what it rests."""
    said = f"{curve.advice[:1].upper()}{curve.advice[1:]}."
    return (said,) if any(point.missing for point in curve.points) else (said, _HOW)


def measured(estimate: Estimate, metric: str) -> str:
    """`91% [88%, 94%]`, `57 [52, 62] points`, `0.52 [0.5, 0.6] s`; without brackets where there is no spread."""
    value, *bounds = (_written(each, estimate, metric) for each in (estimate.value, estimate.lower, estimate.upper))
    unit = " points" if estimate.unit == "share" and estimate.paired else " s" if metric in _SECONDS else ""
    between = "" if estimate.lower == estimate.upper else f" [{', '.join(bounds)}]"
    return f"{value}{between}{unit}"


def _written(value: float, estimate: Estimate, metric: str) -> str:
    if estimate.unit == "share":
        return f"{round(100 * value, 1):g}{'' if estimate.paired else '%'}"
    return f"{value:.2f}" if metric in _SECONDS else f"{value:,.0f}"


def _price(specialist: Specialist, name: str) -> float | None:
    if CORE_SECONDS not in specialist.section.levels[name]:  # judged before that was measured
        return None
    return own_price(load_tariff(), taken(specialist.section, name))
