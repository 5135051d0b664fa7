"""How a folder turns texts and chats into token ids, and which ids it gives a role. Runs in a child process."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ropewalk.checkpoint_manager.domain.parity import CHATS, FIXED_PROMPTS

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from ropewalk.model.chat.encoder import Encoder

_ROLES = ("bos", "eos", "pad", "unk")


def readings(folder: Path, model: "PreTrainedModel", *, is_export: bool = False) -> dict[str, tuple[object, ...]]:
    """By what is read the ids that come of it: fixed prompts, chats, and the tokens with a role.

    Of the export the ids of its own configuration count; of the trainer what they must be.
    """
    from transformers import GenerationConfig

    from ropewalk.model.chat.encoder import Encoder
    from ropewalk.model.tokenizer import load_tokenizer

    tokenizer, encoder = load_tokenizer(folder), Encoder(folder)
    eos_id = tokenizer.eos_token_id
    ends = (eos_id, eos_id, model.config.bos_token_id)
    if is_export:
        generation = GenerationConfig.from_pretrained(folder)
        ends = (generation.eos_token_id, model.config.eos_token_id, model.config.bos_token_id)
    found: dict[str, tuple[object, ...]] = {}
    for number, prompt in enumerate(FIXED_PROMPTS, start=1):
        found[f"fixed prompt {number}"] = tuple(encoder.text(prompt))
        found[f"fixed prompt {number} with what transformers adds"] = tuple(tokenizer(prompt).input_ids)
    found |= {f"chat {number}": ids for number, ids in enumerate(_chats(folder, encoder), start=1)}
    roles = tuple(getattr(tokenizer, f"{role}_token_id") for role in _ROLES)
    return found | {f"the ids of {', '.join(_ROLES)}": roles, "the ids of eos, eos and bos in its configuration": ends}


def _chats(folder: Path, encoder: "Encoder") -> Sequence[tuple[object, ...]]:
    """The ids of each chat; the reason where the folder has no template for it."""
    from ropewalk.model.chat.errors import ChatTemplateError
    from ropewalk.model.chat.renderer import ChatRenderer

    renderer, found = ChatRenderer(folder), list[tuple[object, ...]]()
    try:
        for chat in CHATS:
            try:
                found.append(tuple(encoder.prompt(renderer.prompt(list(chat))).ids))
            except ChatTemplateError as error:
                found.append((str(error),))
    finally:
        renderer.close()
    return found
