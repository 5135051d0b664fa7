"""The process that reads checkpoints beside a training. It takes what the machine has left over, and one thread."""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from ropewalk.corpus.document import DEV_ITEMS
from ropewalk.evaluator.adapters.corpus import read_items
from ropewalk.evaluator.domain.dev import DevLoss
from ropewalk.stages.child import die_with

if TYPE_CHECKING:
    from ropewalk.evaluator.adapters.scoring import ScoredModel  # torch: only in the process
    from ropewalk.model.nll import ScoredTokens

IDLE_S = 120.0  # without an order, then it ends
_CHARS_A_TOKEN = 4  # of a text as many are read as fill about one window
_MOST_WINDOWS = 4  # of a conversation; a longer one is left out
_TOKENS_AT_ONCE = 1024  # logits are (tokens, vocabulary)


@dataclass(frozen=True, kw_only=True)
class DevOrder:
    """Fetched folders, and how many tokens to read, about. `base`: of an adapter on an import."""

    checkpoint: Path
    base: Path | None = None
    tokenizer: Path
    evalset: Path
    num_tokens: int

    @property
    def of_run(self) -> tuple[Path | None, Path, Path, int]:
        """What all orders of a run have in common."""
        return self.base, self.tokenizer, self.evalset, self.num_tokens


@dataclass(frozen=True)
class Bench:
    """Where orders come from, and how nice (0 to 19) the process is to others."""

    orders: Connection
    niceness: int


def serve(bench: Bench, report: Callable[[object], None]) -> None:
    """Answer each DevOrder with a DevLoss, or None if its checkpoint is gone by then, until nobody asks any more."""
    if bench.niceness:
        _stand_back(bench.niceness)
    import torch

    import ropewalk.evaluator.adapters.scoring  # noqa: F401 - takes seconds, and is needed as soon as there is an order

    torch.set_num_threads(1)
    reader: _Reader | None = None
    with suppress(EOFError):
        while bench.orders.poll(IDLE_S):
            order: DevOrder = bench.orders.recv()
            try:
                if reader is None or reader.of_run != order.of_run:
                    reader = _Reader(order)
                report(reader.read(order.checkpoint))
            except OSError:  # the policy lets checkpoints go while they stand in line here
                report(None)


class _Reader:
    """Of one run: its documents are encoded once."""

    def __init__(self, order: DevOrder) -> None:
        from ropewalk.evaluator.adapters.scoring import ScoredModel

        self.of_run, self._base, self._loaded = order.of_run, order.base, order.base or order.checkpoint
        self._model = ScoredModel(self._loaded, tokenizer=order.tokenizer)
        self._items = list(_enough(self._model, order))

    def read(self, checkpoint: Path) -> DevLoss:
        from ropewalk.model.nll import score_documents

        if checkpoint != self._loaded:
            self._load(checkpoint)
        scores = score_documents(
            self._model.model,
            [document for documents in self._items for document in documents],
            context_length=self._model.context_length,
            start_id=self._model.eos_id,
            tokens_at_once=_TOKENS_AT_ONCE,
        )
        return DevLoss(
            nats=sum(score.nats for score in scores),
            num_tokens=sum(score.num_tokens for score in scores),
            num_bytes=sum(score.num_bytes for score in scores),
            num_items=len(self._items),
        )

    def _load(self, checkpoint: Path) -> None:
        """Of an adapter its own weights alone: the base is there, and another copy would cost as much memory."""
        from ropewalk.model.lora import put_on
        from ropewalk.model.weights import WEIGHTS, load_model

        if self._base is None or (checkpoint / WEIGHTS).exists():
            self._model.model = load_model(checkpoint)
        else:
            put_on(self._model.model, checkpoint)
        self._loaded = checkpoint


def _enough(model: "ScoredModel", order: DevOrder) -> Iterator[list["ScoredTokens"]]:
    """The items in the order of their names, which are hashes of what they say, until there are enough tokens."""
    room, context = order.num_tokens, model.context_length
    for item in sorted(read_items(order.evalset, DEV_ITEMS), key=lambda item: item.item_id):
        if room <= 0:
            return
        shown = replace(item, text=item.text[: _CHARS_A_TOKEN * context])
        documents = model.documents(shown) if model.takes(shown) else []
        kept = [each for each in documents if 0 < len(each.tokens) <= _MOST_WINDOWS * context]
        if kept:
            room -= sum(len(each.tokens) for each in kept)
            yield kept


def _stand_back(niceness: int) -> None:
    """Go on in a session of its own and with a lower priority.

    Where Linux shares the CPU by sessions first (autogroup), a nice value counts within the session only, so that the
    session gets one, too. Who leads a process group cannot begin a session: a fork goes on, and dies with its parent.
    """
    parent = os.getpid()
    if pid := os.fork():
        os._exit(abs(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])))  # no word of its own on the pipe
    die_with(parent)
    os.setsid()
    os.nice(niceness)
    with suppress(OSError):  # another kernel, or none of it in a container
        Path("/proc/self/autogroup").write_text(str(niceness))
