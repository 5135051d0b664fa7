"""An imported base or an exported model of ours as a judge, from its logits. Needs torch: for a child process."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import takewhile
from pathlib import Path

import torch
from transformers import DynamicCache

from ropewalk.corpus.document import ChatMessage
from ropewalk.corpus.instruction import folded
from ropewalk.evaluator.adapters.judging.voices import JudgeAnswer
from ropewalk.evaluator.adapters.scoring import ScoredModel
from ropewalk.model.chat.encoder import Encoder
from ropewalk.model.chat.errors import ChatTemplateError
from ropewalk.stages.errors import StageError
from ropewalk.tasksets.judges.prompt import LEAD, JudgePrompt


class OwnModelVoice:
    """Reads what a prompt has in common with the one before it only once: a rubric is most of every prompt."""

    decoding = f"next token behind {LEAD.strip()!r}, fp32"

    def __init__(self, folder: Path, name: str, digest: str, until: float) -> None:
        self.name, self.digest, self._until = name, digest, until
        try:
            self._model = ScoredModel(folder)
        except (OSError, ValueError, TypeError) as error:  # TypeError: a tokenizer without an end
            raise StageError(f"{name} cannot be loaded as a judge: {error}") from None
        self._encoder = Encoder(folder)
        self._read: list[int] = []
        self._cache = DynamicCache(config=self._model.model.config)

    def ask(self, prompts: Sequence[JudgePrompt], on_told: Callable[[], None]) -> list[JudgeAnswer]:
        """See JudgeVoice."""
        told = []
        for prompt in prompts:
            if time.monotonic() > self._until:
                raise TimeoutError
            told.append(self._one(prompt))
            on_told()
        return told

    @torch.inference_mode()
    def _one(self, prompt: JudgePrompt) -> JudgeAnswer:
        lead, ends = self._endings(prompt.grades)
        ids = [*self._prompt(prompt), *lead]
        if len(ids) > self._model.context_length:
            return JudgeAnswer(prompt_tokens=len(ids))
        common = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(self._read, ids[:-1], strict=False)))
        if spare := self._cache.get_seq_length() - common:
            self._cache.crop(-spare)
        self._read = ids
        logits = self._model.model(
            input_ids=torch.tensor([ids[common:]]), past_key_values=self._cache, use_cache=True, logits_to_keep=1
        ).logits[0, -1]
        logprobs = logits.log_softmax(-1)
        next_token = {str(grade): float(logprobs[end]) for grade, end in zip(prompt.grades, ends, strict=True)}
        return JudgeAnswer(next_token=next_token, prompt_tokens=len(ids), answer_tokens=1)

    def _endings(self, grades: Sequence[int]) -> tuple[list[int], list[int]]:
        """The tokens of the lead, and the one that each grade goes on with."""
        encoded = [self._encoder.text(f"{LEAD}{grade}") for grade in grades]
        shared = len(list(takewhile(lambda column: len(set(column)) == 1, zip(*encoded, strict=False))))
        ends = [ids[shared] for ids in encoded if len(ids) > shared]
        if len(set(ends)) < len(grades):
            raise StageError(f"{self.name} cannot judge: its tokenizer does not tell grades apart by one token")
        return encoded[0][:shared], ends

    def _prompt(self, prompt: JudgePrompt) -> list[int]:
        """As a conversation; some templates know no system turn, and some models no conversation."""
        turns = tuple(ChatMessage(role=role, content=content) for role, content in prompt.turns)
        for asked in (turns, folded(turns)):
            with suppress(ChatTemplateError):
                return self._model.prompt_ids(asked)
        return self._encoder.text("\n\n".join(turn.content for turn in turns) + "\n\n")
