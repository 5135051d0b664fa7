"""A recipe for a run that goes on where another one's checkpoint stands: the same data, order and optimizer state."""

from collections.abc import Mapping, Sequence

from pydantic import JsonValue

from ropewalk.client.errors import ClientError, UnknownRunError
from ropewalk.events.base import Message, last_of
from ropewalk.events.checkpoint import CheckpointSaved
from ropewalk.events.foreign import quoted
from ropewalk.events.run import RunAccepted, SubmitRun
from ropewalk.events.training import SearchCompleted, TrainingCompleted
from ropewalk.projections.retention import Holdings
from ropewalk.recipes.recipe import Recipe, parse_recipe

_RATES = ("matrix_lr", "adam_lr")
_DECAY_FROM = 0.6  # of what is added, as the dial has it for a whole training


def extension(
    messages: Sequence[Message], *, checkpoint_id: str = "", steps: int = 0, minutes: float = 0.0
) -> dict[str, JsonValue]:
    """The recipe, from everything that was said about the other run, in the order of the log.

    `steps` more than the checkpoint has, or what `minutes` allow at the speed that the other run was planned with;
    neither: to the end of the other run's plan, at its rates, which gives its bits again. Without `checkpoint_id`
    the one that training ended with, and one of the two lengths. Raises ClientError with a sentence.
    """
    accepted = last_of(messages, RunAccepted)
    if all(message.plane == "cmd" and not isinstance(message, SubmitRun) for message in messages):
        raise UnknownRunError(messages[0].run_id)  # somebody asked something of it, and that is all
    if accepted is None:
        raise ClientError("nothing can be extended: the run was not accepted")
    recipe = parse_recipe(accepted.recipe)
    holdings = Holdings().after(*messages)
    saved = holdings.standing
    ended = last_of(messages, TrainingCompleted)
    wanted = checkpoint_id or (ended.checkpoint_id if ended else "")
    if not wanted:
        raise ClientError("training of the run has not ended: name one of its checkpoints with --from")
    added = _added(recipe, steps, minutes)
    if not checkpoint_id and not added:
        raise ClientError(f"training of the run is complete, at {wanted}: say how much longer, --steps or --minutes")
    if wanted in holdings.pruned:
        raise ClientError(f"checkpoint {wanted} is pruned: name one that is there; the newest: {_newest(saved)}")
    if wanted not in saved:
        raise ClientError(f"the run has no checkpoint {quoted(wanted)}; the newest that it has: {_newest(saved)}")
    return _recipe_from(recipe, saved[wanted], last_of(messages, SearchCompleted), added)


def _recipe_from(
    recipe: Recipe, begin: CheckpointSaved, search: SearchCompleted | None, added: int
) -> dict[str, JsonValue]:
    plan = recipe.derived
    changes: dict[str, JsonValue] = {name: search.params[name] for name in _RATES if search and name in search.params}
    if added:
        decay_start = max(plan.warmup_steps, begin.step + round(_DECAY_FROM * added))
        changes |= {"total_steps": begin.step + added, "decay_start": decay_start}
    elif plan.total_steps <= begin.step:
        raise ClientError(
            f"{begin.checkpoint_id} is the end of its run's plan: say how much longer, --steps or --minutes"
        )
    fields = recipe.as_json()
    return {
        **fields,
        "plan": {**plan.model_dump(mode="json"), **changes},
        "training": {},  # all of it is in the plan
        "trials": 0,
        "extends": begin.checkpoint_id,
    }


def _newest(saved: Mapping[str, CheckpointSaved]) -> str:
    return ", ".join(list(saved)[-5:]) or "none"


def _added(recipe: Recipe, steps: int, minutes: float) -> int:
    if steps and minutes:
        raise ClientError(f"--steps is {steps} and --minutes is {minutes:g}: give one of them")
    planned = recipe.derived.total_steps - recipe.first_step
    return steps or (max(1, round(planned * minutes / recipe.minutes)) if minutes else 0)
