"""Whether the pairs of a preference fit the windows that are trained on: asked before a run is accepted."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ropewalk.corpus.document import message_records
from ropewalk.corpus.reading.places import Reach
from ropewalk.corpus.reading.records import Content, Limits
from ropewalk.corpus.task_checks import placed_examples
from ropewalk.model.chat.errors import ChatTemplateError
from ropewalk.model.chat.renderer import ChatRenderer
from ropewalk.recipes.bases import base_location, is_base_name
from ropewalk.recipes.recipe import Recipe
from ropewalk.storage.connect import StoreAddress
from ropewalk.storage.errors import StorageError

if TYPE_CHECKING:
    from ropewalk.model.chat.encoder import Encoder

_SECONDS = 5.0


def look_at_pairs(
    asked: tuple[Recipe, Limits, Reach, StoreAddress | None], _: Callable[[object], None]
) -> tuple[str, ...]:
    """A sentence if no pair fits into a window, where the base model lies on this machine. For a child process.

    The store is asked for a base that was imported.
    """
    from ropewalk.model.chat.encoder import Encoder  # of tokenizers, which no idle service must hold

    recipe, limits, reach, store = asked
    room, shortest, deadline = recipe.derived.context_length, 0, time.monotonic() + _SECONDS
    try:
        folder = _folder(recipe, store)
        if folder is None:
            return ()
        renderer, encoder = ChatRenderer(folder), Encoder(folder)
    except (OSError, ValueError, StorageError):
        return ()
    try:
        for _place, content in placed_examples(recipe.sources, limits, reach):
            if isinstance(content, Content) and content.rejected:
                length = _length(content, renderer, encoder)
                if length <= room or time.monotonic() > deadline:
                    return ()
                shortest = min(shortest or length, length)
    except ChatTemplateError:  # of one: preprocessing sets it aside and says so
        return ()
    finally:
        renderer.close()
    if not shortest:
        return ()
    return (
        f"field 'training.context_length' has the value {room}: no pair fits a window, the shortest takes {shortest:,} "
        "tokens with both answers; raise it, or shorten the records",
    )


def _folder(recipe: Recipe, store: StoreAddress | None) -> Path | None:
    """None for an import in a store elsewhere: all of the model would come over the network."""
    if not is_base_name(recipe.base_model):
        return Path(recipe.base_location)
    is_here = store is not None and store.url.startswith("file:")
    return Path(base_location(recipe, store.connect())) if store is not None and is_here else None


def _length(content: Content, renderer: ChatRenderer, encoder: "Encoder") -> int:
    """Tokens of both conversations."""
    chosen = message_records(content.messages)
    rejected = [*chosen[:-1], {**chosen[-1], "content": content.rejected}]
    return sum(len(encoder.prompt(renderer.conversation(each)).ids) for each in (chosen, rejected))
