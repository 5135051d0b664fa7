"""The card's tables, the same on the page, on the picture and in the terminal."""

from dataclasses import dataclass

from ropewalk.report.card import ReportCard
from ropewalk.report.facts import duration, money

_LEAST_WAITING_S = 0.05  # less is shown as nothing


@dataclass(frozen=True)
class CardRow:
    """One cell per column. `kind`: "", or what is special about it: chosen, dim, total."""

    cells: tuple[str, ...]
    kind: str = ""


@dataclass(frozen=True)
class CardTable:
    """The first column is words, the others are numbers."""

    head: tuple[str, ...]
    rows: tuple[CardRow, ...]


def trial_table(card: ReportCard) -> CardTable:
    """The trials of the search with all parameters that any of them had."""
    names = sorted({name for trial in card.trials for name in trial.params})
    rows = tuple(
        CardRow(
            (
                str(trial.trial),
                *(f"{trial.params[name]:.3g}" if name in trial.params else "" for name in names),
                str(trial.num_steps),
                f"{trial.loss:.3f}",
                trial.status,
            ),
            "chosen" if card.is_chosen(trial) else "",
        )
        for trial in card.trials
    )
    return CardTable(("trial", *names, "steps", "loss", "state"), rows)


def cost_table(card: ReportCard) -> CardTable:
    """Time and cost of every stage, of what lies between them, and of the whole."""
    rows = [
        CardRow((stage.name, duration(stage.seconds), f"{stage.cpu_seconds:,.1f}", money(stage.usd)))
        for stage in card.stages
    ]
    if card.waiting_s >= _LEAST_WAITING_S:
        rows.append(CardRow(("waiting and retries", duration(card.waiting_s), "", ""), "dim"))
    total = ("start to end", duration(card.seconds), f"{card.cpu_seconds:,.1f}", money(card.usd))
    return CardTable(("stage", "time", "CPU-seconds", "cost"), (*rows, CardRow(total, "total")))
