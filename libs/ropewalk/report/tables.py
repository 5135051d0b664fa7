"""The card's tables, the same on the page, on the picture and in the terminal."""

from dataclasses import dataclass

from ropewalk.report.card import ReportCard
from ropewalk.report.facts import duration, money

_LEAST_WAITING_S = 0.05  # less is shown as nothing


@dataclass(frozen=True)
class Row:
    """One cell per column. `kind`: "", or what is special about it: chosen, dim, total."""

    cells: tuple[str, ...]
    kind: str = ""


@dataclass(frozen=True)
class Table:
    """The first column is words, the others are numbers."""

    head: tuple[str, ...]
    rows: tuple[Row, ...]


def trial_table(card: ReportCard) -> Table:
    """The trials of the search with all parameters that any of them had."""
    names = sorted({name for trial in card.trials for name in trial.params})
    rows = tuple(
        Row(
            (
                str(trial.trial),
                *(f"{trial.params[name]:.3g}" if name in trial.params else "" for name in names),
                str(trial.num_steps),
                f"{trial.loss:.3f}",
                trial.status,
            ),
            "chosen" if trial.chosen else "",
        )
        for trial in card.trials
    )
    return Table(("trial", *names, "steps", "loss", "state"), rows)


def cost_table(card: ReportCard) -> Table:
    """Time and cost of every stage, of what lies between them, and of the whole."""
    rows = [
        Row((stage.name, duration(stage.seconds), f"{stage.cpu_seconds:,.1f}", money(stage.usd)))
        for stage in card.stages
    ]
    if card.waiting_s >= _LEAST_WAITING_S:
        rows.append(Row(("waiting and retries", duration(card.waiting_s), "", ""), "dim"))
    total = ("start to end", duration(card.seconds), f"{card.cpu_seconds:,.1f}", money(card.usd))
    return Table(("stage", "time", "CPU-seconds", "cost"), (*rows, Row(total, "total")))
