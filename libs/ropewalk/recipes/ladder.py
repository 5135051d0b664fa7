"""The rungs of a search: how many trials train how far. Here because the forecast of a run counts them, too."""

from dataclasses import dataclass

from ropewalk.recipes.recipe import Recipe

ETA = 3  # of so many trials of a rung, one goes on


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """The best `counts[k]` trials, and the first, train to rung k, which ends after `steps[k]` steps."""

    steps: tuple[int, ...]
    counts: tuple[int, ...]

    def num_rounds(self, parallel: int) -> int:
        """Steps that are waited for, when so many trials run at a time."""
        before = (0, *self.steps)
        trials = (self.counts[0], *(count + 1 for count in self.counts[1:]))
        return sum(
            -(-count // parallel) * (steps - before[rung])
            for rung, (count, steps) in enumerate(zip(trials, self.steps, strict=True))
        )


def num_trials(recipe: Recipe) -> int:
    """How many trials the recipe's search has. Fine-tuning takes its derived rates: they are small and safe."""
    return 0 if recipe.mode == "finetune" else recipe.trials


def ladder_of(recipe: Recipe) -> Ladder:
    """Rungs from the plan's `trial_steps` downwards, each a third of the next."""
    counts = [num_trials(recipe)]
    while counts[-1] >= ETA:
        counts.append(counts[-1] // ETA)
    longest, last = recipe.derived.trial_steps, len(counts) - 1
    steps = (max(rung + 1, longest // ETA ** (last - rung)) for rung in range(last + 1))
    return Ladder(counts=tuple(counts), steps=tuple(steps))
