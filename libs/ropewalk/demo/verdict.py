"""Did the demo show everything it promises? Pure: a card in, sentences out."""

from collections.abc import Collection

from ropewalk.events.drill import DrillCompleted
from ropewalk.report.card import STAGES, ReportCard

_STAGES = [name for name in STAGES if name != "report"]  # which is still being written


def problems(card: ReportCard, failure: str = "") -> tuple[str, ...]:
    """What went wrong, one sentence each; empty if the demo is green."""
    found = run_problems(card, failure, _STAGES)
    if card.outcome == "promoted" and not failure and not card.alarms:
        found = (*found, "the monitor raised no alarm on the shifted traffic")
    return found


def run_problems(card: ReportCard, failure: str, stages: Collection[str]) -> tuple[str, ...]:
    """What went wrong between the submission and the endpoint. Each of `stages` must be in the log exactly once."""
    if failure:
        return (failure,)
    if card.outcome != "promoted":
        reasons = f": {'; '.join(card.gate.reasons)}" if card.gate else ""
        return (f"the run ended {card.outcome}{reasons}",)
    found = []
    if card.parity is None or not card.parity.passed:
        found.append("there is no parity certificate")
    if card.ledger is None:
        found.append("the ledger could not be verified")
    elif not card.ledger.ok:
        found.append(f"the ledger does not add up: {' '.join(card.ledger.sentences)}")
    if card.traffic is None:
        found.append("no request was answered")
    if odd := card.not_once(stages):
        found.append(f"not every stage is in the log exactly once ({', '.join(odd)})")
    return tuple(found)


def failed_drill(card: DrillCompleted | None) -> tuple[str, ...]:
    """Why the run did not take the death of a worker as promised; a run that lost none has nothing to answer for."""
    return () if card is None or card.passed else (f"the drill {card.drill} failed: {card.reason}",)
