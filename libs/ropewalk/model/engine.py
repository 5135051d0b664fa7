"""A small continuous-batching engine: one thread, one forward pass per step for all running requests.

Requests arrive through an inbox from any thread and answer through callbacks on the engine's thread, which must
return quickly. It serves one model on the CPU in float32; for large models Triton runs vLLM with the same contract.
"""

import itertools
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from ropewalk.model.chat.encoder import Encoder
from ropewalk.model.chat.errors import SpelledMarkError
from ropewalk.model.engine_forward import SlotDecoder
from ropewalk.model.engine_grammar import Constraint, GrammarError, Grammars, wait_for_any
from ropewalk.model.engine_sampling import Sampling, choose
from ropewalk.model.engine_text import TextStream
from ropewalk.model.engine_weights import read_architecture, read_weights
from ropewalk.model.errors import ModelError

_SLACK = 4  # a text may become shorter before it is cut into tokens (Unicode normalisation, spaces)
_CACHE_BYTES = 1 << 30  # of keys and values of all running requests; a request that wants more runs alone
_GRAMMAR_S = 0.02  # without a look at who else came, while no answer can go on before its grammar says how
_PREFILL_TOKENS = 512  # prompt tokens read between two decoding steps, so that running streams keep flowing


class EngineRequestError(ModelError, ValueError):
    """The request can never succeed as it is. The text names the field, the value and the limit."""


class EngineStoppedError(ModelError, RuntimeError):
    """The engine was stopped or broke; it takes no requests."""


@dataclass(frozen=True, kw_only=True)
class Update:
    """What a step added to a completion. `finish_reason` is empty until the last update.

    `token_ids` are the new ones (the end-of-text token included), the counts are totals so far, `logprob_mean` is the
    mean natural-log probability, before temperature, of all tokens so far. With the reason `error`, `error` says what
    went wrong with this request (the request itself, if `is_refused`); it is empty when the whole engine stopped.
    """

    text: str = ""
    token_ids: tuple[int, ...] = ()
    finish_reason: str = ""  # stop, length, cancelled, error
    num_input_tokens: int = 0
    num_output_tokens: int = 0
    logprob_mean: float = 0.0
    error: str = ""
    is_refused: bool = False


@dataclass(eq=False)
class _Run:
    prompt: list[int]
    sampling: Sampling
    text: TextStream
    on_update: Callable[[Update], None]
    generator: torch.Generator
    stop_ids: frozenset[int]  # special tokens among the stop strings, which never become text
    constraint: Constraint | None = None
    tokens: list[int] = field(default_factory=list)
    logprob_sum: float = 0.0
    cancelled: bool = False

    @property
    def position(self) -> int:
        """Where the newest token will be written in the cache."""
        return len(self.prompt) + len(self.tokens) - 1

    @property
    def is_ready(self) -> bool:
        """Whether its next token can be chosen, once there are logits."""
        return self.constraint is None or self.constraint.is_ready

    @property
    def most_tokens(self) -> int:
        """Prompt and answer together, if nothing ends it before."""
        return len(self.prompt) + self.sampling.max_tokens

    def update(self, text: str, token_ids: tuple[int, ...], finish_reason: str) -> Update:
        return Update(
            text=text,
            token_ids=token_ids,
            finish_reason=finish_reason,
            num_input_tokens=len(self.prompt),
            num_output_tokens=len(self.tokens),
            logprob_mean=self.logprob_sum / max(1, len(self.tokens)),
        )


class Engine:
    """Serves the model in `folder`, or the one in `base` with the adapter in `folder`.

    Raises UnsupportedModelError when it cannot run it faithfully.
    """

    def __init__(self, folder: Path, *, num_slots: int = 16, base: Path | None = None) -> None:
        self.shape = read_architecture(folder)
        self._encoder = Encoder(folder)
        self._grammars = Grammars(self._encoder.tokenizer, self.shape.vocab_size, self.shape.eos_ids)
        weights = read_weights(base or folder, self.shape, folder if base else None)
        self._decoder = SlotDecoder(self.shape, weights, num_slots)
        self._num_slots = num_slots
        self._max_reserved = _CACHE_BYTES // self.shape.cache_bytes_per_token
        self._max_chars = (
            _SLACK * self.shape.context_length * max(map(len, self._encoder.tokenizer.get_vocab()), default=1)
        )
        self._stepped_at = time.monotonic()
        self._changed = threading.Condition()
        self._requests: dict[int, _Run] = {}
        self._waiting: deque[_Run] = deque()
        self._running: list[_Run] = []  # index = slot
        self._ids = itertools.count(1)
        self._open = True
        self._thread = threading.Thread(target=self._serve, name="engine", daemon=True)

    def start(self) -> None:
        """Begin to serve what was and will be submitted."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; requests not yet complete get a last update with `error`."""
        with self._changed:
            self._open = False
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()
        self._grammars.close()

    @property
    def num_waiting(self) -> int:
        """Requests for which there was no slot yet."""
        return len(self._waiting)

    @property
    def silent_s(self) -> float:
        """Seconds since the last step, while there is something to do."""
        return time.monotonic() - self._stepped_at if self._requests else 0.0

    def encode(self, prompt: str, marks: Sequence[tuple[int, int]] = ()) -> list[int]:
        """Token ids of a text, as training encodes it; special tokens are at `marks` only. No text begins a document.

        May take a second for a megabyte, in which other threads go on. Raises EngineRequestError for a text that no
        tokenizer could fit into the context: its length is looked at first.
        """
        if len(prompt) > self._max_chars:
            raise EngineRequestError(
                f"the prompt has {len(prompt)} characters, but this model's context is {self.shape.context_length} "
                f"tokens, which is never more than {self._max_chars} characters: shorten it"
            )
        try:
            ids = self._encoder.marked(prompt, marks).ids if marks else self._encoder.text(prompt)
        except SpelledMarkError as error:
            raise EngineRequestError(str(error)) from None
        return list(ids or self.shape.beginning)

    def constraint(self, schema: str) -> Constraint:
        """What holds one answer to a JSON schema. Takes up to 0.2 s for a new schema, in which other threads go on.

        Raises EngineRequestError.
        """
        try:
            return self._grammars.constraint(schema)
        except GrammarError as error:
            raise EngineRequestError(str(error)) from None
        except RuntimeError:  # its threads are gone
            raise EngineStoppedError("the engine has stopped") from None

    def submit(
        self,
        prompt: list[int],
        sampling: Sampling,
        on_update: Callable[[Update], None],
        constraint: Constraint | None = None,
    ) -> int:
        """Queue a request and return its number for `cancel`. Raises EngineRequestError, EngineStoppedError."""
        self._check(prompt, sampling)
        if constraint is not None and (sampling.stop or sampling.ignore_eos):
            field = "stop" if sampling.stop else "ignore_eos"
            raise EngineRequestError(
                f"{field} would end the answer elsewhere than its JSON schema: leave one of them out"
            )
        text = TextStream(self._encoder.tokenizer, sampling.stop)
        run = _Run(prompt, sampling, text, on_update, sampling.generator(), self._encoder.special_ids(sampling.stop))
        run.constraint = constraint
        with self._changed:
            if not self._open:
                raise EngineStoppedError("the engine has stopped")
            number = next(self._ids)
            self._requests[number] = run
            self._waiting.append(run)
            self._changed.notify()
        return number

    def cancel(self, number: int) -> None:
        """End a request at the next step, with the reason `cancelled`; nothing happens if it has ended."""
        with self._changed:
            if number in self._requests:
                self._requests[number].cancelled = True

    def _check(self, prompt: list[int], sampling: Sampling) -> None:
        context = self.shape.context_length
        if len(prompt) >= context:
            raise EngineRequestError(
                f"the prompt has {len(prompt)} tokens, but this model's context is {context} tokens, prompt and "
                f"completion together: shorten it to at most {context - 1}"
            )
        if not prompt:
            raise EngineRequestError("the prompt is empty: give at least one token")
        if not all(0 <= token < self.shape.vocab_size for token in prompt):
            raise EngineRequestError(f"prompt token ids must be between 0 and {self.shape.vocab_size - 1}")
        if violation := sampling.violation():
            raise EngineRequestError(violation)

    def _serve(self) -> None:
        try:
            while self._await_work():
                self._step()
        finally:
            self._abandon()

    def _await_work(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._requests or not self._open)
            return self._open

    def _abandon(self) -> None:
        with self._changed:
            self._open = False
            runs, self._requests = list(self._requests.values()), {}
        for run in runs:
            run.on_update(run.update("", (), "error"))

    @torch.inference_mode()
    def _step(self) -> None:
        self._stepped_at = time.monotonic()
        self._drop_cancelled()
        budget = _PREFILL_TOKENS
        while self._waiting and self._has_room(self._waiting[0]) and budget > 0:
            with self._changed:
                run = self._waiting.popleft()
            budget -= len(run.prompt)
            self._running.append(run)
            with self._only([run]):
                self._append([run], self._decoder.prefill(len(self._running) - 1, run.prompt))
        if self._running:
            runs = list(self._running)
            with self._only(runs):
                tokens, positions = [run.tokens[-1] for run in runs], [run.position for run in runs]
                self._append(runs, self._decoder.decode(tokens, positions))

    def _has_room(self, run: _Run) -> bool:
        """Whether there is a slot, and memory for all that this and the running requests may come to hold."""
        context = self.shape.context_length
        reserved = sum(min(one.most_tokens, context) for one in (*self._running, run))
        return len(self._running) < self._num_slots and (reserved <= self._max_reserved or not self._running)

    @contextmanager
    def _only(self, runs: list[_Run]) -> Iterator[None]:
        """Whatever goes wrong in this block ends these requests and no others."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - anything, or one request would end those of everybody
            refused = isinstance(error, GrammarError)
            said = str(error) if refused else f"{type(error).__name__}: {error}"
            for run in runs:
                self._end(run)
                run.on_update(replace(run.update("", (), "error"), error=said, is_refused=refused))

    def _append(self, runs: list[_Run], logits: Tensor) -> None:
        """Choose and hand out the next token of every run; end those that are complete.

        A run whose grammar has not said yet what may come is passed over: its logits are computed again, the same.
        """
        if not any(run.is_ready for run in runs):
            wait_for_any((run.constraint for run in runs if run.constraint), _GRAMMAR_S)
        best: list[int] = logits.argmax(-1).tolist()
        norms: list[float] = logits.logsumexp(-1).tolist()
        for row, run in enumerate(runs):
            if run.is_ready:
                with self._only([run]):
                    self._advance(run, logits[row], best[row], norms[row])

    def _advance(self, run: _Run, logits: Tensor, best: int, norm: float) -> None:
        """One token more. `norm` is the logarithm of the sum of all exponentials, infinite if any of them is."""
        if not math.isfinite(norm):
            raise ArithmeticError("the model computed numbers that are not finite")
        allowed = logits
        if run.constraint is not None:
            allowed = run.constraint.masked(logits)
            best = int(allowed.argmax())
        token = choose(allowed, run.sampling, run.generator) if run.sampling.temperature > 0 else best
        run.tokens.append(token)
        run.logprob_sum += float(logits[token]) - norm  # what the model thinks of it, whatever it was held to
        text, reason = self._judge(run, token)
        if reason:
            self._end(run)
        run.on_update(run.update(text, (token,), reason))

    def _judge(self, run: _Run, token: int) -> tuple[str, str]:
        """The new text and why the run ends here, if it does."""
        if token in run.stop_ids or (token in self.shape.eos_ids and not run.sampling.ignore_eos):
            return run.text.end(), "stop"
        text, stopped = run.text.add(token)
        if stopped:
            return text, "stop"
        if run.constraint is not None and run.constraint.take(token):
            return text + run.text.end(), "stop"
        if len(run.tokens) >= run.sampling.max_tokens or run.position + 1 >= self.shape.context_length:
            return text + run.text.end(), "length"
        return text, ""

    def _drop_cancelled(self) -> None:
        with self._changed:
            cancelled = [run for run in self._requests.values() if run.cancelled]
        for run in cancelled:
            self._end(run)
            run.on_update(run.update("", (), "cancelled"))

    def _end(self, run: _Run) -> None:
        """Forget a run and keep the used slots dense: the last one moves into the hole."""
        if run.constraint is not None:
            run.constraint.abandon()
        with self._changed:
            self._requests = {number: other for number, other in self._requests.items() if other is not run}
            if run in self._waiting:
                self._waiting.remove(run)
        if run not in self._running:
            return
        slot = self._running.index(run)
        last = self._running.pop()
        if last is not run:
            self._running[slot] = last
            self._decoder.move(len(self._running), slot, last.position + 1)
        self._decoder.release(len(self._running))
