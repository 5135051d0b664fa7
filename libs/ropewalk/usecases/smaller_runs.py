"""The smaller runs beside one whose `evaluation.curve` is set: what 25 and 50 % of its examples give.

All is as in the whole run, its draws too, but for the number of documents and of steps: the *epochs* are the same,
since whoever adds examples trains on them as long as on the others. With the same number of steps a quarter of the
examples would be read four times as often, and the curve would show how much repetition harms.
"""

from pydantic import JsonValue

from ropewalk.recipes.recipe import Recipe

FRACTIONS = (0.25, 0.5)
MOST_NAME = 60  # letters of a run's id that leave room for those of the smaller runs
_STEPS = ("total_steps", "warmup_steps", "decay_start", "trial_steps")


def smaller_id(run_id: str, fraction: float) -> str:
    """What the run with a fraction of the examples of another one is called: always the same."""
    return f"{run_id}-{round(100 * fraction)}"


def has_curve(recipe: Recipe) -> bool:
    """Whether there are smaller runs; none beside one that goes on where another run stands."""
    return recipe.evaluation.curve and not recipe.extends


def all_smaller(recipe: Recipe) -> tuple[Recipe, ...]:
    """The smaller runs of a complete recipe, by size; none where no curve is asked for."""
    return tuple(smaller(recipe, fraction) for fraction in FRACTIONS) if has_curve(recipe) else ()


def smaller(recipe: Recipe, fraction: float) -> Recipe:
    """A complete recipe as it is for a fraction of what it learns from; it is judged only, beside no other model."""
    plan, given = recipe.derived, recipe.training.model_dump(exclude_none=True)
    steps = {name: max(1, round(fraction * getattr(plan, name))) for name in _STEPS}
    lengths = {*_STEPS, "total_tokens"}
    fields: dict[str, JsonValue] = recipe.as_json() | {
        "training": {name: value for name, value in given.items() if name not in lengths},
        "plan": plan.model_dump(mode="json") | steps,
        "evaluation": recipe.evaluation.model_dump(mode="json")
        | {"curve": False, "learnt_fraction": fraction * recipe.evaluation.learnt_fraction},
        "promotion": recipe.promotion.model_dump(mode="json") | {"promote": False},
    }
    if recipe.task is not None:
        fields["task"] = recipe.task.model_dump(mode="json") | {"compare": []}
    return Recipe.model_validate(fields)
