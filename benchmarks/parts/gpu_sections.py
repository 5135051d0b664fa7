"""The sections of benchmarks/training_gpu.py. Each takes a Bench and returns what it found as plain values."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean, median
from typing import Any

import torch
from parts.training_data import random_dataset, stdlib_dataset

from ropewalk.recipes.dial import complete
from ropewalk.recipes.recipe import Plan, Recipe, SourceRecipe
from ropewalk.storage.connect import StoreAddress
from ropewalk.trainer.adapters.worker import micro_batch
from ropewalk.trainer.adapters.worker.job import Started, StepLoss, StepsDone, WorkerJob, WorkerReport
from ropewalk.trainer.adapters.worker.loop import run_worker

PEAK = 989e12  # bf16 operations a second, dense, as the H100's data sheet has it
_WARM = 3  # steps: the first compiles, the next two fill caches
_TOKENS_A_STEP = 524_288


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Where to measure. `tiny` shrinks every shape, to try the script out."""

    device: str
    tiny: bool
    root: Path

    def plan(self, size: str, context: int, tokens_a_step: int = _TOKENS_A_STEP, **changes: object) -> Plan:
        """A size of the dial, or `1b`, on this device."""
        recipe = Recipe(sources=(SourceRecipe(path="/nowhere", licence="CC0-1.0"),), size="base", device="cuda")
        plan = complete(recipe).derived
        shape: dict[str, object] = {"context_length": context, "batch_size": tokens_a_step // context}
        if size == "1b":
            shape |= {"hidden_size": 2048, "num_layers": 16, "num_heads": 16, "num_kv_heads": 8}
            shape |= {"intermediate_size": 6144}
        if self.tiny:
            shape |= {"hidden_size": 64, "num_layers": 2, "num_heads": 2, "num_kv_heads": 1, "head_dim": 32}
            shape |= {"intermediate_size": 192, "vocab_size": 512, "context_length": 64, "batch_size": 4}
        steps = {"total_steps": 10_000, "warmup_steps": 20, "decay_start": 6000, "checkpoint_every": 10_000}
        return plan.model_copy(update={**shape, **steps, "device": self.device, **changes})

    def job(self, name: str, plan: Plan, *, deterministic: bool = False, **changes: object) -> WorkerJob:
        """A job of that plan on random tokens, made if they are not there yet."""
        root = self.root / f"{plan.context_length}-{plan.vocab_size}"
        dataset = root / "objects" / "datasets" / "bench"
        if not dataset.exists():
            random_dataset(root, plan, num_windows=max(plan.batch_size, 2_097_152 // plan.context_length))
        recipe = Recipe(sources=(SourceRecipe(path="/nowhere", licence="CC0-1.0"),), plan=plan)
        job = WorkerJob(
            run_id=name,
            epoch=1,
            attempt=1,
            recipe=recipe.model_copy(update={"deterministic": deterministic, "strategy": "fsdp"}),
            dataset=dataset,
            dataset_version="bench",
            tokenizer=root,
            store=StoreAddress(url=(self.root / "objects").as_uri()),
            scratch=self.root / "scratch",
            matrix_lr=plan.matrix_lr,
            adam_lr=plan.adam_lr,
        )
        return replace(job, **changes)  # type: ignore[arg-type]

    def checkpoint(self, name: str, step: int) -> Path:
        """The folder of a checkpoint of a job."""
        return self.root / "objects" / "runs" / name / "checkpoints" / f"1-{step}"


@dataclass
class _Watch:
    """Takes the reports of a job and notes when each step ended."""

    began: float = field(default_factory=time.monotonic)
    started: Started | None = None
    ready_s: float = 0.0
    ends: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    rows: list[Any] = field(default_factory=list)

    def __call__(self, report: WorkerReport) -> None:
        match report:
            case Started():
                self.started, self.ready_s = report, time.monotonic() - self.began
            case StepLoss(loss=loss):
                self.ends.append(time.monotonic())
                self.losses.append(loss)
            case StepsDone(rows=rows):
                self.rows += rows
                self.losses += [row.loss for row in rows]
                self.ends += [row.time_unix for row in rows]

    def steps_s(self, warm: int = _WARM) -> list[float]:
        """How long each step after the warm ones took."""
        return [after - before for before, after in zip(self.ends[warm:], self.ends[warm + 1 :], strict=False)]


def gemm(bench: Bench) -> dict[str, Any]:
    """The rate of one large bf16 product on random numbers: what a loop could reach at most."""
    size = 256 if bench.tiny else 8192
    a, b = (torch.randn(size, size, device=bench.device, dtype=torch.bfloat16) for _ in range(2))
    for _ in range(3):
        a @ b
    _wait(bench)
    began, repeats = time.perf_counter(), 20
    for _ in range(repeats):
        a @ b
    _wait(bench)
    rate = 2 * size**3 * repeats / (time.perf_counter() - began)
    on_gpu = bench.device == "cuda"
    return {
        "device": torch.cuda.get_device_name() if on_gpu else "cpu",
        "memory_gib": round(torch.cuda.get_device_properties(0).total_memory / 2**30, 1) if on_gpu else 0,
        "torch": torch.__version__,
        "bf16_tflops": round(rate / 1e12, 1),
    }


def speed(bench: Bench, plan: Plan, steps: int, *, most_tokens: int = 0, deterministic: bool = False) -> dict[str, Any]:
    """Run a job without checkpoints and count."""
    if most_tokens:
        micro_batch._MOST_TOKENS = most_tokens
    watch = _Watch()
    run_worker(bench.job("speed", plan, deterministic=deterministic, stop_after_steps=steps), 0, 1, watch)
    found = _counted(plan, watch)
    if bench.device == "cuda":
        found["peak_gib"] = round(torch.cuda.max_memory_allocated() / 2**30, 1)
    return found


def _counted(plan: Plan, watch: _Watch) -> dict[str, Any]:
    assert watch.started is not None, "the job reported its start"
    steps_s, tokens = watch.steps_s(), plan.batch_size * plan.context_length
    rates = {"median": tokens / median(steps_s), "mean": tokens / fmean(steps_s)}
    weights = watch.started.num_parameters
    per_token = 6 * (weights - plan.vocab_size * plan.hidden_size)
    per_token += 12 * plan.num_layers * plan.num_heads * plan.head_dim * plan.context_length
    return {
        "device": watch.started.device,
        "weights": weights,
        "context": plan.context_length,
        "tokens_a_step": tokens,
        "steps_measured": len(steps_s),
        "step_ms": round(1000 * median(steps_s), 1),
        "tokens_per_s": round(rates["median"]),
        "mfu_percent": round(100 * rates["median"] * per_token / PEAK, 2),
        "mfu_percent_mean": round(100 * rates["mean"] * per_token / PEAK, 2),
        "ready_s": round(watch.ready_s, 1),
        "first_step_s": round(watch.ends[0] - watch.began - watch.ready_s, 1),
        "losses": [round(loss, 4) for loss in watch.losses],
        "steps_s": [round(each, 4) for each in steps_s],
    }


def saves(bench: Bench) -> dict[str, Any]:
    """The step time that a checkpoint costs, as what the steps around it took beyond the quiet ones."""
    every, steps = (4, 12) if bench.tiny else (9, 28)
    plan = bench.plan("base", 1024, total_steps=steps, checkpoint_every=every)
    watch = _Watch()
    run_worker(bench.job("saves", plan), 0, 1, watch)
    spans = dict(enumerate(watch.steps_s(0), start=1))  # step -> from the end of the step before to its own
    saved = [step for step in spans if step % every == 0]  # the copy runs beside the step after `every` steps
    touched = {step + more for step in saved for more in range(every - 2)}
    quiet = median(span for step, span in spans.items() if step not in touched and step >= _WARM)
    lost = [sum(spans.get(step + more, quiet) - quiet for more in range(every - 2)) for step in saved]
    return {
        "lost_ms_per_save": round(1000 * fmean(lost), 1),
        "lost_percent_at_50_steps": round(100 * fmean(lost) / (50 * quiet), 3),
        "each_save_lost_ms": [round(1000 * each, 1) for each in lost],
        "reported_blocked_ms": [round(1000 * row.checkpoint_s, 1) for row in watch.rows],
        "quiet_step_ms": round(1000 * quiet, 1),
        "steps_s": [round(each, 4) for each in watch.steps_s(0)],
    }


def exact(bench: Bench, part: str) -> dict[str, Any]:
    """One run in the bit-exact mode: `first`, `second` or `resumed` (from the first one's checkpoint at half way)."""
    plan = bench.plan("base", 1024, 131_072, total_steps=16, checkpoint_every=8, decay_start=10, warmup_steps=2)
    name = "exact-first" if part != "second" else "exact-second"
    job = bench.job(name, plan, deterministic=True)
    if part == "resumed":
        job = replace(job, epoch=2, resume_from=bench.checkpoint(name, 8))
    watch = _Watch()
    run_worker(job, 0, 1, watch)
    folder = bench.root / "objects" / "runs" / name / "checkpoints" / f"{job.epoch}-16"
    hashes = {
        file: hashlib.sha256((folder / file).read_bytes()).hexdigest()
        for file in ("model.safetensors", "optimizer.safetensors")
    }
    return {**hashes, "last_loss": watch.losses[-1].hex(), "step_ms": round(1000 * median(watch.steps_s()), 1)}


def exact_cost(bench: Bench) -> dict[str, Any]:
    """The bit-exact mode against the free one, in the same process order and batch."""
    plan = bench.plan("base", 1024, 131_072)
    return {"free_step_ms": speed(bench, plan, 14)["step_ms"]}


def learning(bench: Bench, precision: str) -> dict[str, Any]:
    """Real text: a run begun on the CPU in fp32 goes on in a precision; loss by step, so that curves compare."""
    root = bench.root / "stdlib"
    plan = complete(
        Recipe(sources=(SourceRecipe(path="/nowhere", licence="CC0-1.0"),), size="tiny" if bench.tiny else "nano")
    ).derived
    steps = 24 if bench.tiny else 300
    plan = plan.model_copy(update={"total_steps": steps, "warmup_steps": 10, "decay_start": steps * 6 // 10})
    dataset = root / "objects" / "datasets" / "bench"
    if not dataset.exists():
        root.mkdir()
        stdlib_dataset(root, plan)
    torch.set_num_threads(1)
    begun = bench.root / "objects" / "runs" / "learning" / "checkpoints" / "1-8"
    changes: dict[str, object] = {"dataset": dataset}
    if precision == "cpu":
        plan = plan.model_copy(update={"checkpoint_every": 8})
    else:
        changes |= {"epoch": {"fp32": 2, "bf16": 3, "fp8": 4}[precision], "resume_from": begun}
        plan = plan.model_copy(update={"device": bench.device, "precision": precision, "checkpoint_every": steps})
    watch = _Watch()
    run_worker(bench.job("learning", plan, **changes), 0, 1, watch)  # type: ignore[arg-type]
    found = {"first_step": watch.rows[0].step, "last_20": round(fmean(watch.losses[-20:]), 4)}
    return {**found, "step_ms": round(1000 * median(watch.steps_s()), 1), "losses": watch.losses}


def profile(bench: Bench) -> dict[str, Any]:
    """Where the device's time goes in three steps of 124 M at context 1024, by kernel."""
    plan = bench.plan("base", 1024, 131_072)
    activity = torch.profiler.ProfilerActivity
    profiler = torch.profiler.profile(activities=[activity.CUDA if bench.device == "cuda" else activity.CPU])
    watch = _Watch()

    def on_report(report: WorkerReport) -> None:
        watch(report)
        if len(watch.ends) == 4 and isinstance(report, StepLoss):
            profiler.start()
        if len(watch.ends) == 7 and isinstance(report, StepLoss):
            _wait(bench)
            profiler.stop()

    run_worker(bench.job("profile", plan, stop_after_steps=8), 0, 1, on_report)
    spent = "self_device_time_total" if bench.device == "cuda" else "self_cpu_time_total"
    events = sorted(profiler.key_averages(), key=lambda event: -getattr(event, spent))
    return {
        "wall_ms_of_3_steps": round(1000 * (watch.ends[6] - watch.ends[3]), 1),
        "device_ms": round(sum(getattr(event, spent) for event in events) / 1000, 1),
        "kernels": [[event.key[:110], event.count, round(getattr(event, spent) / 1000, 2)] for event in events[:60]],
    }


def _wait(bench: Bench) -> None:
    if bench.device == "cuda":
        torch.cuda.synchronize()


# name -> (what to do, seconds at most); in the order of importance, and `learning-cpu` before what goes on from it
SECTIONS: dict[str, tuple[Callable[[Bench], dict[str, Any]], float]] = {
    "gemm": (gemm, 30),
    "124m-1024": (lambda bench: speed(bench, bench.plan("base", 1024), 16), 75),
    "124m-2048": (lambda bench: speed(bench, bench.plan("base", 2048), 14), 75),
    "1b-2048": (lambda bench: speed(bench, bench.plan("1b", 2048), 8), 110),
    "1b-2048-fp8": (lambda bench: speed(bench, bench.plan("1b", 2048, precision="fp8"), 8), 110),
    "saves": (saves, 75),
    "profile": (profile, 45),
    "exact-first": (lambda bench: exact(bench, "first"), 60),
    "exact-second": (lambda bench: exact(bench, "second"), 45),
    "exact-resumed": (lambda bench: exact(bench, "resumed"), 45),
    "exact-cost": (exact_cost, 45),
    "learning-cpu": (lambda bench: learning(bench, "cpu"), 120),
    "learning-bf16": (lambda bench: learning(bench, "bf16"), 40),
    "learning-fp8": (lambda bench: learning(bench, "fp8"), 40),
    "learning-fp32": (lambda bench: learning(bench, "fp32"), 40),
    "124m-1024-64k": (lambda bench: speed(bench, bench.plan("base", 1024), 10, most_tokens=65_536), 60),
}
