"""Whether there will ever be room for what a recipe asks for."""

from ropewalk.events.run import StageCapacity
from ropewalk.recipes.recipe import Recipe

TRAINING = "train"


def worker_violations(recipe: Recipe, declared: StageCapacity | None) -> tuple[str, ...]:
    """One sentence if no pool can ever hold the workers. Before any trainer declared a pool, nothing is refused."""
    if declared is None or not declared.pools:
        return ()
    pool, largest = max(declared.pools.items(), key=lambda item: item[1])
    if recipe.num_workers <= largest:
        return ()
    return (
        f"field 'num_workers' has the value {recipe.num_workers}: the largest pool for training, {pool}, has "
        f"{largest:g} CPUs; choose at most {int(largest)}, or declare a larger pool (ROPEWALK_CAPACITY_CPUS)",
    )
