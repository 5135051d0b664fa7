"""Proof that our decoder computes a model as transformers does: equal greedy tokens on fixed prompts, in float32.

Two sound decoders add in different orders, so where the two best tokens are equally likely they may differ. A
difference is excused only then: transformers computes the logits before it in float64 too, and the two tokens must lie
closer together than twice what float32 itself was off by there; and on at most MOST_TIES prompts.
"""

import json
import queue
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import GenerationConfig, PreTrainedModel

from ropewalk.model.chat.encoder import Encoder
from ropewalk.model.chat.folder import read_chat_folder
from ropewalk.model.chat.renderer import ChatRenderer
from ropewalk.model.engine import Engine, Update
from ropewalk.model.engine_sampling import Sampling
from ropewalk.model.importing.errors import RefusedError
from ropewalk.model.nll import ScoredTokens, bits_per_byte, score_documents
from ropewalk.model.tokenizer import load_tokenizer
from ropewalk.model.weights import load_model

_CHAT = "chat: "  # begins a prompt that is a user's turn
NUM_PROMPTS, NUM_NEW, MOST_TIES = 64, 16, 2
_BATCH = 16
_PATIENCE_S = 600.0


@dataclass(frozen=True)
class TokenDifference:
    """The first token of a prompt that differs, as transformers says it and as we do."""

    prompt: int
    place: int
    expected: int
    got: int


def certify(folder: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """The certificate of the model in a folder. Raises RefusedError with the first difference."""
    prompts = encoded_prompts(folder)
    say(f"our decoder answers {len(prompts)} prompts")
    ours = engine_tokens(folder, prompts)
    say(f"transformers answers {len(prompts)} prompts")
    certificate, wrong = compared(load_model(folder), prompts, ours)
    if certificate["num_equal"] + certificate["num_ties"] < len(prompts) or certificate["num_ties"] > MOST_TIES:
        raise RefusedError(_told(wrong[0], len(wrong), len(prompts)))
    return certificate


def certify_copy(folder: Path, copy: Path, *, exact: bool, say: Callable[[str], None]) -> dict[str, Any]:
    """How greedy tokens of a model in another folder equal those of the first, both by transformers.

    Raises RefusedError if it reads a prompt as other tokens, or, where it has to be `exact`, says another one.
    """
    prompts = encoded_prompts(folder)
    if encoded_prompts(copy) != prompts:
        raise RefusedError("read back, its tokenizer makes other tokens of the same text")
    model, again = load_model(folder), load_model(copy)
    again.generation_config.eos_token_id = model.generation_config.eos_token_id  # GGUF has room for one alone
    say(f"what was read back answers {len(prompts)} prompts")
    said = reference_tokens(again, prompts)
    say(f"what was written answers {len(prompts)} prompts")
    certificate, wrong = compared(model, prompts, said)
    if exact and wrong:
        raise RefusedError(f"read back, it says other tokens on {len(wrong)} of {len(prompts)} prompts")
    bits = {"bits_per_byte": _bits(model, folder, prompts), "bits_per_byte_read_back": _bits(again, folder, prompts)}
    return certificate | ({} if exact else bits)


def compared(
    model: PreTrainedModel, prompts: Sequence[list[int]], said: Sequence[list[int]]
) -> tuple[dict[str, Any], list[TokenDifference]]:
    """Answers beside those of a model by transformers: the counts, and the differences, ties among them."""
    reference = reference_tokens(model, prompts)
    wrong = differences(reference, said)
    return {
        "num_prompts": len(prompts),
        "num_tokens": sum(map(len, reference)),
        "num_equal": len(prompts) - len(wrong),
        "num_ties": sum(is_tie(model, prompts[each.prompt], reference[each.prompt], each) for each in wrong),
        "dtype": "float32",
        "against": f"transformers {transformers.__version__}, torch {torch.__version__}",
    }, wrong


def encoded_prompts(folder: Path) -> list[list[int]]:
    """The fixed prompts as token ids, chats by the model's own template. Raises RefusedError.

    Our encoder must agree with transformers' tokenizer on every one.
    """
    tokenizer, encoder = load_tokenizer(folder), Encoder(folder)
    renderer = ChatRenderer(folder)
    has_template = bool(read_chat_folder(folder).template)
    most = json.loads((folder / "config.json").read_bytes()).get("max_position_embeddings", 2048) - NUM_NEW
    encoded = []
    for text in _prompts():
        said = text.removeprefix(_CHAT)
        if has_template and said != text:
            turns = [{"role": "user", "content": said}]
            ids = tokenizer.apply_chat_template(turns, add_generation_prompt=True)["input_ids"]
            ours = encoder.prompt(renderer.prompt(turns)).ids
        else:
            ids, ours = tokenizer(said, add_special_tokens=False)["input_ids"], encoder.text(said)
        if ids != ours:
            raise RefusedError(f"our encoder reads {text[:60]!r} as other tokens than transformers does")
        encoded.append(list(ids)[:most])
    renderer.close()
    return encoded


def engine_tokens(folder: Path, prompts: Sequence[list[int]], base: Path | None = None) -> list[list[int]]:
    """Greedy tokens of our decoder, the end token included. Raises UnsupportedModelError, RefusedError."""
    engine = Engine(folder, num_slots=_BATCH, base=base)
    found: list[list[int]] = [[] for _ in prompts]
    ended: queue.Queue[str] = queue.Queue()

    def listener(place: int) -> Callable[[Update], None]:
        def on_update(update: Update) -> None:
            found[place] += update.token_ids
            if update.finish_reason:
                ended.put(update.error if update.finish_reason == "error" else "")

        return on_update

    for place, prompt in enumerate(prompts):
        engine.submit(prompt, Sampling(max_tokens=NUM_NEW, temperature=0.0), listener(place))
    engine.start()
    try:
        for _ in prompts:
            if fault := ended.get(timeout=_PATIENCE_S):
                raise RefusedError(f"our decoder cannot run it: {fault}")
    finally:
        engine.stop()
    return found


@torch.inference_mode()
def reference_tokens(model: PreTrainedModel, prompts: Sequence[list[int]]) -> list[list[int]]:
    """Greedy tokens by transformers' own `generate`, prompts of similar length together."""
    ends = model.generation_config.eos_token_id
    ends = ends if isinstance(ends, list) else [ends]
    wanted = GenerationConfig(
        max_new_tokens=NUM_NEW, do_sample=False, repetition_penalty=1.0, eos_token_id=ends, pad_token_id=ends[0]
    )
    order = sorted(range(len(prompts)), key=lambda place: len(prompts[place]))
    found: list[list[int]] = [[] for _ in prompts]
    for begin in range(0, len(order), _BATCH):
        places = order[begin : begin + _BATCH]
        longest = max(len(prompts[place]) for place in places)
        padding = [longest - len(prompts[place]) for place in places]
        ids = torch.tensor([[ends[0]] * pad + prompts[place] for pad, place in zip(padding, places, strict=True)])
        mask = torch.arange(longest) >= torch.tensor(padding)[:, None]
        said = model.generate(input_ids=ids, attention_mask=mask.long(), generation_config=wanted)[:, longest:]
        for place, row in zip(places, said.tolist(), strict=True):
            stop = next((at for at, token in enumerate(row) if token in ends), len(row))
            found[place] = row[: stop + 1]
    return found


def differences(reference: Sequence[list[int]], ours: Sequence[list[int]]) -> list[TokenDifference]:
    """The first one of every prompt; where one answer ends earlier the missing token is -1."""
    found = []
    for prompt, (expected, got) in enumerate(zip(reference, ours, strict=True)):
        if expected != got:
            longest = max(len(expected), len(got))
            a, b = ([*ids, *[-1] * (longest - len(ids))] for ids in (expected, got))
            place = next(at for at in range(longest) if a[at] != b[at])
            found.append(TokenDifference(prompt, place, a[place], b[place]))
    return found


@torch.inference_mode()
def is_tie(model: PreTrainedModel, prompt: list[int], reference: list[int], found: TokenDifference) -> bool:
    """Whether float32 cannot tell the two tokens apart: see the head of this file. `model` is in float32 after it."""
    if -1 in (found.expected, found.got):
        return False
    ids = torch.tensor([prompt + reference[: found.place]])
    single = model(input_ids=ids, use_cache=False, logits_to_keep=1).logits[0, -1].double()
    exact = model.double()(input_ids=ids, use_cache=False, logits_to_keep=1).logits[0, -1]
    model.float()
    noise = float((single - exact).abs().max())
    top = exact.topk(2).indices.tolist()
    gap = float((exact[found.expected] - exact[found.got]).abs())
    return {found.expected, found.got} == set(top) and gap <= 2 * noise


def _bits(model: PreTrainedModel, folder: Path, prompts: Sequence[list[int]]) -> float:
    """Bits per byte of the prompts themselves."""
    tokenizer = load_tokenizer(folder)
    documents = [ScoredTokens(tokens=ids, num_bytes=len(tokenizer.decode(ids).encode())) for ids in prompts]
    longest = max(map(len, prompts))
    return bits_per_byte(score_documents(model, documents, context_length=longest, start_id=prompts[0][0]))


def _prompts() -> list[str]:
    text = resources.files("ropewalk.model.importing").joinpath("prompts.json").read_text(encoding="utf-8")
    prompts: list[str] = json.loads(text)
    assert len(prompts) == NUM_PROMPTS, "the certificate says how many"
    return prompts


def _told(first: TokenDifference, num_wrong: int, num_prompts: int) -> str:
    return (
        f"our decoder says other tokens than transformers on {num_wrong} of {num_prompts} prompts, first on prompt "
        f"{first.prompt}, token {first.place}: {first.got} and not {first.expected}; it would not be served faithfully"
    )
