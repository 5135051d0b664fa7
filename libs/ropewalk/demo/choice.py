"""Which run the demo makes: the one it left unfinished, or a new one under a model name that is free. Pure."""

from collections.abc import Sequence

from pydantic import JsonValue

from ropewalk.projections.runs import RunSummary
from ropewalk.recipes.recipe import Recipe


def unfinished_run(runs: Sequence[RunSummary], recipe: str) -> RunSummary | None:
    """The newest run, if it is of this recipe and still going on."""
    newest = runs[-1] if runs else None
    return newest if newest and not newest.is_over and newest.recipe == recipe else None


def free_model_name(runs: Sequence[RunSummary], name: str) -> str:
    """`name`, or `name-2`, `name-3` … if earlier demos promoted it.

    The same recipe on the same data gives the same model, and no gate promotes a twin of what is in production.
    """
    taken = {run.model for run in runs if run.status == "promoted"}
    candidates = [name, *(f"{name}-{number}" for number in range(2, len(taken) + 3))]
    return next(candidate for candidate in candidates if candidate not in taken)


def demo_fields(
    fields: dict[str, JsonValue], complete: Recipe, model: str, minutes: float | None
) -> dict[str, JsonValue]:
    """What is submitted: the recipe with the demo's own model name and, if given, budget."""
    promotion = {**complete.promotion.model_dump(mode="json"), "model": model}
    budget: dict[str, JsonValue] = {} if minutes is None else {"minutes": minutes}
    return {**fields, **budget, "promotion": promotion}
