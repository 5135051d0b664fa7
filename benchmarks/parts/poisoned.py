"""A training in which one sample ends every process that learns from it: real workers in hosts below Ray.

The processes of the hosts import a module of ours at their start (`sitecustomize`), which sends a signal to a process
in whose forward pass the sample appears. The product knows nothing of it.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ropewalk.corpus.ledger import LedgerVerdict, verify_run
from ropewalk.corpus.order import SampleOrder
from ropewalk.corpus.shards import TokenShard
from ropewalk.events.training import SamplesLeftOut
from ropewalk.trainer.adapters.attempts import Attempts
from ropewalk.trainer.adapters.hosts import LocalHosts
from ropewalk.trainer.adapters.reports import ClusterSpec, FromWorkers, TrainingJob, TrainingReport
from ropewalk.trainer.adapters.worker.job import CheckpointWritten, WorkerJob
from ropewalk.trainer.domain.recovery import Loss

_INJECTED = """
import os
if "POISON_TOKENS" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"
    import numpy, torch
    from ropewalk.model.next_token import NextTokenLoss
    poison, forward = torch.from_numpy(numpy.load(os.environ["POISON_TOKENS"])), NextTokenLoss.forward
    def deadly(self, inputs, targets):
        if (inputs == poison).all(dim=1).any():
            os.kill(os.getpid(), int(os.environ["POISON_SIGNAL"]))
        return forward(self, inputs, targets)
    NextTokenLoss.forward = deadly
"""


@dataclass(kw_only=True)
class Poisoned:
    """What such a training showed. `sample` is the deadly one, `named` those that were left out."""

    sample: int
    signal: signal.Signals
    causes: list[str] = field(default_factory=list)
    named: tuple[int, ...] = ()
    restarts_until_named: int = -1
    saved: list[str] = field(default_factory=list)
    loss: float = float("nan")
    ledger: LedgerVerdict = field(init=False)


def train_poisoned(root: Path, like: WorkerJob, step: int, number: signal.Signals) -> Poisoned:
    """Train as `like` does, with one deadly sample in the batch of `step`. Data are in root/objects, as for `like`."""
    shard, recipe = TokenShard(like.dataset), like.recipe
    order = SampleOrder(like.dataset_version, recipe.seed, shard.num_windows)
    samples = order.samples(step, recipe.derived.batch_size)
    found = Poisoned(sample=samples[recipe.seed % len(samples)], signal=number)
    job, committed = _job(root, like), []

    def on_report(report: TrainingReport) -> None:
        match report:
            case Loss(cause=cause):
                found.causes.append(cause)
            case FromWorkers(_, SamplesLeftOut(samples=named)):
                found.named += named
                found.restarts_until_named = len(found.causes)
            case CheckpointWritten(saved, event) | FromWorkers(_, CheckpointWritten(saved, event)):
                found.saved.append(saved.uri)
                if event is not None:
                    committed.append(event)

    with _deadly(root, shard, found), LocalHosts(recipe.num_workers, recipe.chosen_strategy, job.scratch) as hosts:
        found.loss = Attempts(job, on_report, hosts).run().loss
    found.ledger = verify_run(committed, shard.meta, recipe, job.store.connect())
    return found


@contextmanager
def _deadly(root: Path, shard: TokenShard, found: Poisoned) -> Iterator[None]:
    """Processes that are started meanwhile die of the sample."""
    folder, tokens = root / "injected", root / "injected" / "tokens.npy"
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(_INJECTED)
    np.save(tokens, shard.window(found.sample).inputs)
    before = dict(os.environ)
    os.environ |= {
        "PYTHONPATH": os.pathsep.join([str(folder), *filter(None, [before.get("PYTHONPATH")])]),
        "POISON_TOKENS": str(tokens),
        "POISON_SIGNAL": str(int(found.signal)),
    }
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _job(root: Path, like: WorkerJob) -> TrainingJob:
    objects = like.store.connect()
    if not objects.exists("tokenizers/none"):
        folder = root / "no-tokenizer"
        folder.mkdir()
        (folder / "tokenizer.json").write_text("{}")
        objects.publish(folder, "tokenizers/none", {})
    return TrainingJob(
        run_id=f"poisoned-{like.run_id}",
        epoch=1,
        first_attempt=1,
        announced=frozenset(),
        recipe=like.recipe,
        dataset_uri="datasets/bench",
        dataset_version=like.dataset_version,
        tokenizer_uri="tokenizers/none",
        store=like.store,
        scratch=root / "scratch",
        matrix_lr=like.matrix_lr,
        adam_lr=like.adam_lr,
        stop_file=root / "never",
        stall_s=120,
        cluster=ClusterSpec(address="", num_cpus=2, temporary=root),
    )
