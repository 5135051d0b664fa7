"""What a thousand requests cost before and after the bake, and when it has paid for itself. Pure."""

from dataclasses import dataclass

from ropewalk.report.card import ReportCard
from ropewalk.usecases.prices import Switch, Tariff

WAYS = {  # prefix of the estimates by who answers: the fairest opponent stands beside the candidate
    "": "this model, short prompt",
    "shots_": "base, instruction and worked examples",
    "instruction_": "base, instruction",
}


@dataclass(frozen=True, kw_only=True)
class Bill:
    """One way to answer: measured tokens and seconds of a request, and USD per thousand of them.

    `own`: on `cores` cores of this machine at the tariff's hour; `sold`: paid by the token, by the tariff's line.
    """

    way: str
    prompt_tokens: float
    answer_tokens: float
    seconds: float
    own: float
    sold: dict[str, float]


def bills(card: ReportCard, tariff: Tariff, cores: int) -> list[Bill]:
    """Of every way that the evaluation asked, the candidate first."""
    measured = {each.metric: each.value for each in card.estimates if not each.paired}
    found = []
    for prefix, way in WAYS.items():
        spent = [measured.get(prefix + name) for name in ("prompt_tokens", "answer_tokens", "answer_seconds")]
        prompt, answer, seconds = spent
        if prompt is not None and answer is not None and seconds is not None:
            own = tariff.by_hour["cpu"].per_1000(seconds, cores, tariff.busy_share)
            sold = {name: line.per_1000(prompt, answer) for name, line in tariff.by_token.items()}
            found.append(Bill(way=way, prompt_tokens=prompt, answer_tokens=answer, seconds=seconds, own=own, sold=sold))
    return found


def switches(found: list[Bill], training_usd: float) -> dict[str, Switch]:
    """From each line that is paid by the token, with the longest prompt that was asked, to the candidate here."""
    if len(found) < 2:
        return {}
    after, now = found[0], found[1]
    return {name: Switch(now=usd, after=after.own, training=training_usd) for name, usd in now.sold.items()}
