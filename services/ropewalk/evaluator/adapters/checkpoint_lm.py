"""Our models for lm-evaluation-harness (the extra `lm-eval`), in this process: no hub and no network is asked.

    evaluator.simple_evaluate(model=CheckpointLM(ScoredModel(folder)), tasks=[…], task_manager=TaskManager(…))

Texts are split, scored and continued by the code that scores task sets, so both say the same of the same model.
"""

import math
from collections.abc import Sequence
from typing import Any

from lm_eval.api.model import LM

from ropewalk.evaluator.adapters.scoring import ScoredModel
from ropewalk.evaluator.adapters.task_measuring import as_it_is
from ropewalk.evaluator.adapters.voices import Voice
from ropewalk.evaluator.domain.tasks import Item

_MOST_TOKENS = 256  # of an answer where a task does not say, as in lm-evaluation-harness


class CheckpointLM(LM):
    """A model and its tokenizer as the harness asks it."""

    def __init__(self, model: ScoredModel) -> None:
        super().__init__()
        self._model = model

    def loglikelihood(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """Nats of each continuation behind its context, and whether it is the greedy one."""
        said = self._model.continuations([self._model.split(*request.args) for request in requests])
        return [(each.nats, each.is_greedy) for each in said]

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[float]:
        """Nats of each text, whose first token follows the end of another."""
        items = [Item(str(at), "", text=request.args[0]) for at, request in enumerate(requests)]
        return [-bits * math.log(2) for bits in self._model.bits(items)]

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """Greedy answers, each up to its `until`. What does not fit into the context is answered with nothing."""
        return [self._answer(str(at), *request.args) for at, request in enumerate(requests)]

    def _answer(self, name: str, prompt: str, wanted: dict[str, Any]) -> str:
        if wanted.get("do_sample") and wanted.get("temperature", 1.0) > 0:
            raise ValueError("do_sample is true: only greedy answers are comparable, set it to false")
        until = wanted.get("until") or []
        ends = [until] if isinstance(until, str) else list(until)
        voice = Voice(self._model, as_it_is, int(wanted.get("max_gen_toks", _MOST_TOKENS)), ends=ends)
        return voice.answers([Item(name, "", text=prompt)])[0].text
