"""Answers that follow a JSON schema: which tokens may come next, by llguidance.

A schema becomes a parser over the bytes of tokens (Earley over a lazy lexer); its limits bound what a schema may cost
when it is compiled and at every token. Which tokens may come is worked out by threads of its own while the model
computes, and an answer whose schema was slow once is worked on by another one from then on: a costly schema keeps its
own answer waiting, and only others like it. White space is at most one blank where JSON allows any: a model could
write it for ever.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Set
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from ropewalk.model.errors import ModelError

_MAX_CACHED = 64  # schemas
_WORKERS = 2  # at most so many cores work out what may come next, beside the one for what is slow
_SLOW_S = 0.005  # for one token; most take a tenth of a millisecond, and the limits below allow about 10 ms
_LIMITS = {  # its own rates: 50,000 units of first fuel, 14,000 of later ones and 20,000 items a millisecond
    "max_items_in_row": 2_000,
    "initial_lexer_fuel": 1_000_000,
    "step_lexer_fuel": 100_000,
    "step_max_items": 50_000,
    "max_lexer_states": 20_000,  # 1-2 kB each
    "max_grammar_size": 200_000,
    "verbose_errors": False,
}
_OPTIONS = {  # all of them, since a schema may hold its own (`x-guidance`)
    "item_separator": ",",
    "key_separator": ":",
    "whitespace_flexible": True,
    "whitespace_pattern": r"[\x20]?",
    "coerce_one_of": False,
    "lenient": False,  # what it cannot hold an answer to is refused
}


class GrammarError(ModelError, ValueError):
    """Answers cannot be held to a schema. The text says why."""


class Grammars:
    """The schemas that answers of one model were held to, compiled. For any thread."""

    def __init__(self, tokenizer: Tokenizer, vocab_size: int, eos_ids: Set[int]) -> None:
        self._vocab_size = vocab_size
        self._compiled: OrderedDict[str, Any] = OrderedDict()
        self._lock, self._compiling = threading.Lock(), threading.Lock()
        self._workers = ThreadPoolExecutor(_WORKERS, thread_name_prefix="grammar")
        self._slow_worker = ThreadPoolExecutor(1, thread_name_prefix="slow-grammar")
        self._why_none = "" if eos_ids else "this model has no token that ends an answer"
        try:  # holds Python's lock for a quarter of a second, so not when the first request wants it
            import llguidance

            self._library = llguidance
            self._tokenizer = llguidance.LLTokenizer(
                tokenizer.to_str(), n_vocab=vocab_size, eos_token=sorted(eos_ids) or None
            )
        except ImportError:  # a release before this one did without, and its environment still serves
            self._why_none = "the package llguidance is not installed at the endpoint: install .[serving]"
        except ValueError as error:
            self._why_none = f"this model's tokenizer is not understood: {error}"

    def constraint(self, schema: str) -> "Constraint":
        """A new answer's. May take 0.2 s, in which other threads go on. Raises GrammarError."""
        if self._why_none:
            raise GrammarError(self._why_none)
        matcher = self._known(schema)
        if matcher is None:
            with self._compiling:  # one at a time, and who asks for one that is known does not wait for it
                matcher = self._known(schema) or self._compile(schema)
                self._keep(schema, matcher)
        workers = (self._workers, self._slow_worker)
        constraint = Constraint(
            matcher.deep_copy(), self._vocab_size, workers, lambda: self._compiled_anew(schema, matcher)
        )
        wait_for_any([constraint])
        return constraint

    def close(self) -> None:
        """End the threads; nobody asks for anything any more."""
        self._workers.shutdown()
        self._slow_worker.shutdown()

    def _known(self, schema: str) -> Any:
        with self._lock:
            if schema in self._compiled:
                self._compiled.move_to_end(schema)
            return self._compiled.get(schema)

    def _keep(self, schema: str, matcher: Any) -> None:
        with self._lock:
            self._compiled[schema] = matcher
            if len(self._compiled) > _MAX_CACHED:
                self._compiled.popitem(last=False)

    def _compiled_anew(self, schema: str, used_up: Any) -> Any:
        """For one answer alone; later ones do not get the one that is used up either."""
        with self._lock:
            if self._compiled.get(schema) is used_up:
                del self._compiled[schema]
        return self._compile(schema)

    def _compile(self, schema: str) -> Any:
        matchers = self._library.LLMatcher
        try:
            grammar = matchers.grammar_from_json_schema(schema, overrides=_OPTIONS)
        except ValueError as error:
            raise GrammarError(_sentence(error)) from None
        limits = self._library.LLParserLimits(**_LIMITS)
        matcher = matchers(self._tokenizer, grammar, log_level=0, limits=limits)
        if matcher.is_error() or not any(matcher.compute_bitmask()):
            raise GrammarError(_sentence(matcher.get_error()) or "no answer can follow it")
        return matcher


class Constraint:
    """What may come next in one answer. It is worked out anew after every token: see `is_ready`.

    `workers`: for all, and for what was slow. Copies of a matcher share their lexer, whose bounds earlier answers may
    have used up: once in an answer, a matcher that fails is replaced by a `fresh` one, which nobody shares.
    """

    def __init__(
        self,
        matcher: Any,
        vocab_size: int,
        workers: tuple[ThreadPoolExecutor, ThreadPoolExecutor],
        fresh: Callable[[], Any],
    ) -> None:
        self._matcher = matcher
        self._vocab_size = vocab_size
        self._fresh: Callable[[], Any] | None = fresh
        self._taken: list[int] = []
        self._worker, self._slow_worker = workers
        self.allowed: Future[Tensor] = self._worker.submit(self._allowed)  # (V,) booleans

    @property
    def is_ready(self) -> bool:
        """Whether `masked` answers at once."""
        return self.allowed.done()

    def masked(self, logits: Tensor) -> Tensor:
        """Logits (V,) of the tokens that may come next; minus infinity for all others. Raises GrammarError."""
        return logits.masked_fill(~self.allowed.result(), float("-inf"))

    def take(self, token: int) -> bool:
        """Go on by a token that may come. Returns whether the answer is whole and nothing can follow."""
        wait([self.allowed])  # one thread at a time may use the matcher
        self._taken.append(token)
        self._matcher.consume_token(token)
        if self._matcher.is_error() and self._fresh:  # the thread that works out what may come replaces it
            self._worker = self._slow_worker
        else:
            self._check()
            if self._matcher.is_stopped():
                return True
        self.allowed = self._worker.submit(self._allowed)
        return False

    def abandon(self) -> None:
        """Nobody asks any more: a mask that no thread has begun is not worked out."""
        self.allowed.cancel()

    def _allowed(self) -> Tensor:
        began = time.thread_time()  # CPU seconds: a busy machine makes no schema slow
        try:
            bits = np.frombuffer(self._bits(), np.uint8)
        except BaseException as error:
            if isinstance(error, Exception):
                raise
            raise GrammarError(_sentence(error)) from None  # a panic of the library, which would end the engine
        if time.thread_time() - began > _SLOW_S:
            self._worker = self._slow_worker
        return torch.from_numpy(np.unpackbits(bits, count=self._vocab_size, bitorder="little")).bool()

    def _bits(self) -> bytes:
        bits: bytes = b"" if self._matcher.is_error() else self._matcher.compute_bitmask()
        if self._matcher.is_error() and self._fresh:
            self._matcher, self._fresh = self._fresh(), None
            self._matcher.consume_tokens(self._taken)
            self._check()
            bits = self._matcher.compute_bitmask()
        self._check()
        return bits

    def _check(self) -> None:
        if self._matcher.is_error():
            raise GrammarError(
                "it wants more work for one token than is done here: shorten its patterns, and what may be repeated "
                f"({_sentence(self._matcher.get_error())})"
            )


def wait_for_any(constraints: Iterable[Constraint], seconds: float | None = None) -> None:
    """Until one of them is ready, or so long."""
    wait([constraint.allowed for constraint in constraints], seconds, FIRST_COMPLETED)


def _sentence(error: object) -> str:
    return " ".join(str(error).split())
