"""Did the specialist come out as promised? Pure: a card and replies in, sentences out."""

from collections.abc import Sequence

from ropewalk.demo.specialist.asking import Reply
from ropewalk.demo.verdict import run_problems
from ropewalk.report.card import RUN_STAGES, ReportCard

LEAST_VALIDITY = 0.95
STAGES = ("stack", *RUN_STAGES, "traffic", "report")


def specialist_problems(card: ReportCard, failure: str, replies: Sequence[Reply]) -> tuple[str, ...]:
    """What went wrong, one sentence each; empty if the demo is green."""
    return run_problems(card, failure, STAGES[:-1]) or answer_problems(card, replies)


def answer_problems(card: ReportCard, replies: Sequence[Reply]) -> tuple[str, ...]:
    """What is wrong with the answers of a promoted model: to held-out examples, and at the endpoint."""
    measured = {each.metric: each for each in card.estimates if not each.paired}
    validity = measured.get("schema_validity")
    problems = [] if validity else ["the evaluation does not say how many answers fit the schema"]
    if validity and validity.value < LEAST_VALIDITY:
        problems.append(f"{validity.value:.0%} of the answers fit the schema, {LEAST_VALIDITY:.0%} were promised")
    problems += [f"a request failed: {reply.error}" for reply in replies if reply.error]
    if not any(reply.is_valid for reply in replies):
        problems.append("no answer of the endpoint fits the schema")
    return tuple(problems)
