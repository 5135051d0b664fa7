"""What changes in price from every way to answer today to the baked model: for a dry run, a card and a comparison."""

from dataclasses import dataclass

from ropewalk.usecases.prices import Switch, Tariff

HERE = "the base model here, long prompt"


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What a request takes: tokens sent, tokens that come back, seconds in which it keeps one core busy."""

    prompt_tokens: float
    answer_tokens: float
    core_seconds: float


def own_price(tariff: Tariff, taken: Taken) -> float:
    """USD per thousand requests on own cores, whose idle hours are paid, too."""
    return tariff.by_hour["cpu"].per_1000(taken.core_seconds, busy_share=tariff.busy_share)


def switches(tariff: Tariff, now: Taken, after: Taken, training: float) -> dict[str, Switch]:
    """By the name of today's way. `now` is the base with the long prompt, `after` the baked model on own cores.

    A model that is paid by the token is taken to need the same prompt, and to answer as briefly as the baked one.
    """
    baked = own_price(tariff, after)
    found = {HERE: Switch(now=own_price(tariff, now), after=baked, training=training)}
    for name, price in tariff.by_token.items():
        elsewhere = price.per_1000(now.prompt_tokens, after.answer_tokens)
        found[by_token(name)] = Switch(now=elsewhere, after=baked, training=training)
    return found


def by_token(name: str) -> str:
    """How a line of the price table is called among the ways."""
    return f"a {name} model, paid by the token"
