"""A Hugging Face folder as something that scores and completes. Needs torch: import it in a child process only."""

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import GenerationConfig

from ropewalk.corpus.document import ChatMessage, message_records
from ropewalk.evaluator.domain.tasks import Item
from ropewalk.evaluator.ports import MAX_NEW_TOKENS, Continuation
from ropewalk.model.chat.encoder import Encoder
from ropewalk.model.chat.errors import ChatTemplateError, NoAnswerFoundError
from ropewalk.model.chat.renderer import ChatRenderer
from ropewalk.model.nll import Said, ScoredTokens, score_continuations, score_documents
from ropewalk.model.tokenizer import decode, load_tokenizer
from ropewalk.model.weights import load_model

_BATCH = 32
_MAX_CONTEXT = 2048  # logits are (tokens, vocabulary): beyond this a base model would need gigabytes
_TOKENS_AT_ONCE = 4096
_PROMPT_TOKENS = 128  # at most; fewer where the context is smaller


class ScoredModel:
    """Model and tokenizer of one folder (or hub id), or the model with the tokenizer of another folder.

    Raises OSError or ValueError when there is none.
    """

    def __init__(self, folder: Path | str, tokenizer: Path | None = None) -> None:
        self.tokenizer = load_tokenizer(tokenizer or folder)
        self._encoder = Encoder(Path(tokenizer or folder))
        self._chats = ChatRenderer(Path(tokenizer or folder))
        self._documents: dict[Item, list[ScoredTokens]] = {}
        self._pairs: dict[Item, list[ScoredTokens]] = {}
        self.model = load_model(folder)
        self.eos_id = int(self.tokenizer.eos_token_id)
        self.end_ids = frozenset([self.eos_id, *_end_ids(self.model.generation_config)])
        self.context_length = min(_MAX_CONTEXT, int(self.model.config.max_position_embeddings))
        self.vocab_size = int(self.model.config.vocab_size)

    def takes(self, item: Item) -> bool:
        """Whether the chat template takes this conversation; every text is read."""
        try:
            return not item.turns or bool(self.documents(item) and (not item.rejected or self._pair(item)))
        except ChatTemplateError:
            return False

    def documents(self, item: Item) -> list[ScoredTokens]:
        """What is scored of an item: its text, or each answer given the turns before it. Raises ChatTemplateError."""
        if item not in self._documents:
            self._documents[item] = self._answers(item) if item.turns else [self._text(item)]
        return self._documents[item]

    def _text(self, item: Item) -> ScoredTokens:
        return ScoredTokens(tokens=self._encoder.text(item.text), num_bytes=item.num_bytes)

    def _answers(self, item: Item) -> list[ScoredTokens]:
        places = [place for place, turn in enumerate(item.turns) if turn.role == "assistant" and turn.content]
        return [self._answer(message_records(item.turns[: place + 1])) for place in places]

    def _answer(self, messages: list[dict[str, str]]) -> ScoredTokens:
        """The last turn, as it is encoded in training; what the template adds to it does not count."""
        prompt = self._chats.last_answer(messages)
        encoded = self._encoder.prompt(prompt)
        mask = encoded.mask(prompt.answers)
        if not any(mask):
            raise NoAnswerFoundError("the chat template shows nothing of the answer")
        length = len(mask) - mask[::-1].index(1)  # up to the last token that counts; the template's tail is not scored
        return ScoredTokens(
            tokens=encoded.ids[:length],
            num_bytes=len(messages[-1]["content"].encode()),
            counted=[bool(counts) for counts in mask[:length]],
        )

    def _pair(self, item: Item) -> list[ScoredTokens]:
        """Both answers with the token that ends them, as training on preferences counts them."""
        if item not in self._pairs:
            prompts = [self._chats.conversation(message_records(turns)) for turns in item.pair]
            read = [(self._encoder.prompt(prompt), prompt.answers) for prompt in prompts]
            self._pairs[item] = [
                ScoredTokens(tokens=each.ids, num_bytes=0, counted=[bool(counts) for counts in each.mask(answers)])
                for each, answers in read
            ]
        return self._pairs[item]

    def bits(self, items: Sequence[Item]) -> list[float]:
        """The negative log2-likelihood of each item."""
        owned = [(index, document) for index, item in enumerate(items) for document in self.documents(item)]
        bits = [0.0] * len(items)
        for (index, _), nats in zip(owned, self._nats([document for _, document in owned]), strict=True):
            bits[index] += nats / math.log(2)
        return bits

    def margins(self, items: Sequence[Item]) -> list[float]:
        """By how many nats the chosen answer of each pair is likelier than the rejected one."""
        nats = self._nats([answer for item in items for answer in self._pair(item)])
        return [rejected - chosen for chosen, rejected in zip(nats[::2], nats[1::2], strict=True)]

    def likelihoods(self, items: Sequence[Item]) -> list[list[float]]:
        """The log-likelihood of every choice of each item behind its text, in nats."""
        pairs = [pair for item in items for pair in self.choice_pairs(item)]
        said = iter(self.continuations(pairs))
        return [[next(said).nats for _ in item.choices] for item in items]

    def continuations(self, pairs: Sequence[tuple[list[int], list[int]]]) -> list[Said]:
        """How likely each of the second is behind the first."""
        at_once = _TOKENS_AT_ONCE // 2
        return score_continuations(self.model, pairs, context_length=self.context_length, at_once=at_once)

    def choice_pairs(self, item: Item) -> list[tuple[list[int], list[int]]]:
        """The tokens of the text and, behind them, those of each choice."""
        return [self.split(item.text, choice) for choice in item.choices]

    def split(self, context: str, said: str) -> tuple[list[int], list[int]]:
        """As lm-evaluation-harness splits them: white space before a word belongs to it; nothing reads as the end."""
        kept = context.rstrip()
        if not kept:
            return [self.eos_id], self._encoder.text(context + said)
        whole, before = self._encoder.text(context + said), len(self._encoder.text(kept))
        at = min(before, len(whole) - 1)  # a choice that melts into the text before it is judged by the last token
        return whole[:at], whole[at:]

    def _nats(self, documents: Sequence[ScoredTokens]) -> list[float]:
        scores = score_documents(
            self.model,
            documents,
            context_length=self.context_length,
            start_id=self.eos_id,
            tokens_at_once=_TOKENS_AT_ONCE,
        )
        return [score.nats for score in scores]

    def complete(self, items: Sequence[Item]) -> list[Continuation] | None:
        """Greedy continuations of texts and answers to conversations; None where the context has no room for one.

        A prompt keeps its last tokens.
        """
        room = min(_PROMPT_TOKENS, self.context_length - MAX_NEW_TOKENS)
        if room <= 0:
            return None
        ids = [self.ids(item)[-room:] for item in items]
        batches = (ids[first : first + _BATCH] for first in range(0, len(ids), _BATCH))
        return [self._ending(said) for batch in batches for said in self._generate(batch)]

    def ids(self, item: Item) -> list[int]:
        """What is continued: the text, or what comes before the answer. Raises ChatTemplateError."""
        if not item.turns:
            return self._encoder.text(item.text)
        return self.prompt_ids(item.turns)

    def prompt_ids(self, turns: Sequence[ChatMessage]) -> list[int]:
        """What comes before the answer to a conversation. Raises ChatTemplateError."""
        return self._encoder.prompt(self._chats.prompt(message_records(turns))).ids

    def answers(self, items: Sequence[Item]) -> None:
        """Nothing: how a task is asked is a voice's affair."""

    def _generate(self, batch: Sequence[Sequence[int]]) -> list[list[int]]:
        # Padding stands on the left, so that every row's continuation begins in the same column.
        width = max(len(ids) for ids in batch)
        padding = [width - len(ids) for ids in batch]
        rows = torch.tensor([[self.eos_id] * pad + list(ids) for pad, ids in zip(padding, batch, strict=True)])
        mask = torch.tensor([[0] * pad + [1] * (width - pad) for pad in padding])
        out = self.model.generate(
            rows,
            attention_mask=mask,
            max_new_tokens=MAX_NEW_TOKENS,
            do_sample=False,
            use_cache=True,
            eos_token_id=self.eos_id,
            pad_token_id=self.eos_id,
        )
        # out: (B, width + new); the prompts are cut off.
        said: list[list[int]] = out[:, width:].tolist()
        return said

    def _ending(self, said: list[int]) -> Continuation:
        ended = self.eos_id in said
        return Continuation(decode(self.tokenizer, said[: said.index(self.eos_id)] if ended else said), ended)


def _end_ids(config: GenerationConfig | None) -> list[int]:
    """The ends of an answer that the model names."""
    ends = config.eos_token_id if config is not None else None
    return [ends] if isinstance(ends, int) else list(ends or ())
