"""How a deployment is, from what its bus tells: its services, its queues, and what is wrong. As text and as JSON."""

from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from rich.text import Text

from ropewalk.cli.screens.terminal import MOST_IN_A_LINE, Listing, console, done, print_json
from ropewalk.events.foreign import one_line
from ropewalk.status.asking import Status
from ropewalk.status.problems import Problem
from ropewalk.status.seen import ConsumerLag, Seen, ServiceAnswer, what_waits


def show_deployment(status: Status, url: str, *, as_json: bool) -> None:
    """A deployment of which only the bus is known."""
    if as_json:
        print_json({"endpoints": {"nats": without_secret(url)}, **bus_json(status.seen, status.problems)})
        return
    rows = [(answer.name, _word(answer), "; ".join(answer.reasons)) for answer in status.seen.services]
    console.print(Listing(("service", "status", "why"), rows))
    if status.seen.lags:
        console.print(queues_view(status.seen.lags))
    show_problems(status.problems)


def queues_view(lags: Iterable[ConsumerLag], *names: str) -> Listing:
    """How far each consumer is behind. `names` are fields to show besides its own name."""
    numbers = ("pending", "unacked", "again", "oldest s")
    rows = [
        (
            *(getattr(lag, name) for name in ("consumer", *names)),
            *map(str, (lag.pending, lag.ack_pending, lag.redelivered, round(lag.oldest_s, 1))),
        )
        for lag in lags
    ]
    return Listing(("consumer", *names, *numbers), rows, numbers=numbers)


def show_problems(problems: tuple[Problem, ...]) -> None:
    """Last, because it is read first: what is wrong, each with its remedy."""
    for problem in problems:
        console.print(_problem(problem), soft_wrap=True)
    if not problems:
        done("nothing is wrong")


def bus_json(seen: Seen, problems: tuple[Problem, ...]) -> dict[str, Any]:
    """The part of `ropewalk status --json` that every deployment has.

    `kind` of a problem is for programs and stays, its sentences are for people and may change.
    """
    return {
        "problems": [{**asdict(problem), "since": _moment(problem.since)} for problem in problems],
        "waiting": asdict(what_waits(seen)),
        "services": [
            {
                "service": answer.service,
                "instance": answer.instance,
                "status": _word(answer),
                "reasons": answer.reasons,
            }
            for answer in seen.services
        ],
        "queues": [asdict(lag) for lag in seen.lags],
    }


def without_secret(url: str) -> str:
    """An address as others may see it."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _word(answer: ServiceAnswer) -> str:
    if not answer.answered:
        return "no answer"
    return "not ready" if answer.reasons else "ready"


def _problem(problem: Problem) -> Text:
    """The cause and, on the next line, the remedy."""
    mark, style = ("✗ ", "red") if problem.severity == "error" else ("! ", "yellow")
    what, remedy = (one_line(text, MOST_IN_A_LINE) for text in (problem.what, problem.remedy))
    return Text.assemble((mark, style), what, "\n  → ", (remedy, "bold"))


def _moment(since: float) -> str | None:
    return datetime.fromtimestamp(since, UTC).isoformat(timespec="seconds") if since else None
