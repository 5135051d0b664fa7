"""What can be known of a run before any money is spent: `--dry-run` says it, and ingest refuses for it.

Only what is certain is refused. What is merely likely (a corpus that shrinks below a batch when it is cleaned) fails
later, in the stage that knows.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from ropewalk.corpus.reading.places import ANYWHERE, ClosedError, Reach
from ropewalk.corpus.reading.sources import source_violations
from ropewalk.corpus.reading.survey import Survey
from ropewalk.events.foreign import cut, quoted
from ropewalk.events.resources import Resources
from ropewalk.model.base_model import base_model_fault
from ropewalk.model.chat.folder import read_chat_folder
from ropewalk.recipes.bases import Base, is_base_name
from ropewalk.recipes.disk import disk_needs
from ropewalk.recipes.formats import CONVERSATIONS
from ropewalk.recipes.recipe import Recipe

NO_TEMPLATE = (
    "it has no chat template, so it cannot learn from conversations; choose an instruct model, or put a "
    "chat_template.jinja beside its weights"
)
_MIN_DOCUMENTS = 2  # one to train on, one to hold out


def recipe_violations(
    recipe: Recipe, reach: Reach = ANYWHERE, *, base: Base | None = None, any_family: bool = False
) -> tuple[str, ...]:
    """One sentence per path of the recipe that cannot be read or used. `base` is the import that it names."""
    return source_violations(recipe, reach) + base_model_violations(recipe, reach, base=base, any_family=any_family)


def base_model_violations(
    recipe: Recipe, reach: Reach = ANYWHERE, *, base: Base | None = None, any_family: bool = False
) -> tuple[str, ...]:
    """One sentence if a local or imported base model cannot be fine-tuned by this recipe."""
    field = f"field 'base_model' has the value {quoted(recipe.base_model)}"
    if is_base_name(recipe.base_model):
        missing = _import_fault(recipe, base)
        return (f"{field}: {missing}",) if missing else ()
    if not recipe.base_model.startswith(("/", "~", ".")):
        return ()
    if recipe.base_model.startswith("."):
        return (f"{field}: it is relative, and the services run elsewhere; give an absolute path",)
    folder = Path(recipe.base_location)
    fault = _out_of_reach(folder, reach) or base_model_fault(
        folder, recipe.derived.context_length, any_family=any_family
    )
    if not fault and _has_conversations(recipe) and not read_chat_folder(folder).template:
        fault = NO_TEMPLATE
    return (f"{field}: {fault}",) if fault else ()


def _import_fault(recipe: Recipe, base: Base | None) -> str:
    """What the import itself could not refuse, since it depends on the recipe."""
    if base is None:
        return (
            "there is no imported model of that name (`ropewalk models list --bases`): import it with `ropewalk models "
            "import`, or write a folder's path from `/` on, or a hub id with its slash"
        )
    wanted = recipe.derived.context_length
    if base.context_length < wanted:
        return (
            f"it reads at most {base.context_length} tokens, but the recipe trains on windows of {wanted}; choose a "
            "smaller size or another base model"
        )
    return NO_TEMPLATE if _has_conversations(recipe) and not base.has_template else ""


def _has_conversations(recipe: Recipe) -> bool:
    return any(source.format in CONVERSATIONS for source in recipe.sources)


def _out_of_reach(folder: Path, reach: Reach) -> str | None:
    """A model that the stack itself made may be fine-tuned further, so its own folders are open here."""
    try:
        Reach(roots=reach.roots).check(os.path.realpath(folder))
    except (ClosedError, ValueError) as error:
        return str(error)
    return None


def disk_violations(recipe: Recipe, free: int | None) -> tuple[str, ...]:
    """One sentence if the disk of the objects cannot hold what the run leaves; `free` in bytes, None: not known."""
    needs = disk_needs(recipe)
    if free is None or needs.total_bytes <= free:
        return ()
    fewer = "lower training.keep_checkpoints, keep_history and keep_best"
    smaller = f"{fewer}, or train an adapter (adapter: lora) on an imported base" if recipe.has_base else fewer
    return (
        f"the run leaves {needs.num_checkpoints} checkpoints of {_gb(needs.checkpoint_bytes)} and a model of "
        f"{_gb(needs.export_bytes)}, and the disk of the objects has {_gb(free)} left: make room there; or {smaller}",
    )


def _gb(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:,.2f} GB"


def worker_violations(recipe: Recipe, pools: Mapping[str, Resources]) -> tuple[str, ...]:
    """One sentence if no pool for training can ever hold the workers; `pools` is what each has, none: not known."""
    needs = recipe.training_needs
    if not pools or any(needs.fits(room) for room in pools.values()):
        return ()
    if needs.gpus:
        pool, room = max(pools.items(), key=lambda item: (item[1].gpus, item[1].cpus))
        fewer = "choose fewer workers or `device: cpu`, or declare a larger pool"
        return (
            f"field 'device' has the value 'cuda': training needs {needs.in_words}, and the largest pool for it, "
            f"{pool}, has {room.in_words}; {fewer if room.gpus else 'leave `device` out, or declare the GPUs'} "
            "(ROPEWALK_CAPACITY_GPUS)",
        )
    pool, room = max(pools.items(), key=lambda item: item[1].cpus)
    return (
        f"field 'num_workers' has the value {recipe.num_workers}: the largest pool for training, {pool}, has "
        f"{room.in_words}; choose at most {int(room.cpus)}, or declare a larger pool (ROPEWALK_CAPACITY_CPUS)",
    )


def data_violations(recipe: Recipe, found: Survey) -> tuple[str, ...]:
    """Sentences about sources that cannot give a model, if all of them was looked at."""
    return () if found.is_estimate else tuple(_shortfalls(recipe, found))


def _shortfalls(recipe: Recipe, found: Survey) -> Iterator[str]:
    if found.num_documents == 0:
        yield f"field 'sources': no document is left of {found.num_files:,} files: {_reasons(found)}"
    elif found.num_documents < _MIN_DOCUMENTS:
        yield "field 'sources': they give a single document, and at least one more is needed to judge the model on"
    elif recipe.mode == "pretrain":
        plan = recipe.derived
        wanted, most = plan.tokens_per_step, found.text_bytes + found.num_documents
        if most < wanted:  # a token is at least a byte, or the end of a document
            yield (
                f"field 'sources': {found.num_documents:,} documents with {found.text_bytes:,} bytes are smaller than "
                f"one batch of {wanted:,} tokens; add data, or choose a smaller size"
            )


def _reasons(found: Survey) -> str:
    if not found.set_aside:
        return "none matches `include`; correct the path or the patterns"
    parts = [f"{each.reason.replace('_', ' ')} ({each.num_records:,})" for each in found.set_aside]
    example = next((example for each in found.set_aside for example in each.examples), "")
    return cut(", ".join(parts), 400) + (f"; for example {example}" if example else "")
