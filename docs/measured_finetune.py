"""The part of docs/measured.md about a foundation model that becomes a specialist."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"
_PEERS = {"huggingface": "transformers", "trl": "TRL", "trl_packed": "TRL packed"}  # Muon is no peer
_LONG_PROMPT = "the base model here, long prompt"


def _run(found: dict[str, Any]) -> str:
    return f"{found['seconds'] / 60:.1f} min, {found['peak_memory_mb'] / 1000:.1f} GB, {found['outcome']}"


def _share(found: dict[str, Any], name: str) -> str:
    one = found["estimates"][name]
    return f"{100 * one['value']:.1f} % [{100 * one['lower']:.1f}, {100 * one['upper']:.1f}]"


def _gain(found: dict[str, Any]) -> str:
    one = found["gate"]["comparison"]
    return f"{100 * one['value']:.1f} points [{100 * one['lower']:.1f}, {100 * one['upper']:.1f}]"


def _prompts(found: dict[str, Any]) -> str:
    now, after = (found["estimates"][name]["value"] for name in ("instruction_prompt_tokens", "prompt_tokens"))
    return f"{now:.0f} → {after:.0f}: {now / after:.1f} times fewer"


def _price(found: dict[str, Any]) -> str:
    price = found["usd_per_1000"][_LONG_PROMPT]
    return f"${price['now']:.3f} → ${price['after']:.3f}: {price['now'] / price['after']:.2f} times lower"


def _kills(found: dict[str, Any]) -> str:
    return f"{found['kills']} kills, {found['faults']} differences"


def _certificates(found: dict[str, Any]) -> str:
    adapter = found["adapter, beside transformers on the merged folder"]
    imported = found["import, beside transformers on the folder"]["our decoder"]
    merged, gguf = adapter["our decoder, merged"], found["written as GGUF, read by transformers"]["float32"]
    return ", ".join(f"{one['num_equal']} of {one['num_prompts']}" for one in (imported, merged, gguf))


def _peers(found: dict[str, Any], adapter: str) -> str:
    cases = sorted((each for each in found["cases"] if each["adapter"] == adapter), key=lambda each: each["precision"])
    return "; ".join(
        f"{case['precision']}: "
        + ", ".join(
            f"{_PEERS[peer]} {one['by_cpu_s']:.2f} [{one['low']:.2f}, {one['high']:.2f}]"
            for peer, one in case["ours_over_its"].items()
            if peer in _PEERS
        )
        for case in reversed(cases)
    )


def _at_full_batch(found: dict[str, Any]) -> str:
    full = found["at_a_time"]["16"]
    now, after = (full[name]["cpu_s_per_request"][0] for name in ("instruction", "specialist"))
    return f"{now:.2f} → {after:.2f}: {full['times_cheaper'][0]:.1f} times"


def _on_a_card(found: dict[str, Any]) -> str:
    candidate = found["judge"]["levels"]["candidate"]
    valid, right = (100 * candidate[name][0] for name in ("schema_validity", "field_accuracy"))
    times = f"{found['train']['section_s']:.0f} s, {found['bake_sum_s']:.0f} s"
    return f"{times} ({found['machine']['card'].partition(',')[0]}); {valid:.1f} %, {right:.1f} %"


def _learning_curve(found: dict[str, Any]) -> str:
    levels = [(point["num_learnt"], point["levels"]["field_accuracy"]) for point in found["points"]]
    shown = (
        f"{count}: {100 * of['value']:.1f} % [{100 * of['lower']:.1f}, {100 * of['upper']:.1f}]" for count, of in levels
    )
    of = levels[-1][1]
    return f"{', '.join(shown)} ({of['num_items']} held-out examples in {of['num_clusters']} clusters)"


# What, figure, record, script, goal.
ROWS: tuple[tuple[str, Callable[[dict[str, Any]], str], str, str, str], ...] = (
    ("`ropewalk demo specialist`", _run, "specialist", "specialist", "below 20 min, 8 GB"),
    (
        "answers that fit the schema, no prompt, unconstrained; the base with the instruction",
        lambda r: f"{_share(r, 'schema_validity')}; {_share(r, 'instruction_schema_validity')}",
        "specialist",
        "specialist",
        "at least 95 %",
    ),
    ("right fields, more than the base with the instruction", _gain, "specialist", "specialist", "above 0"),
    ("tokens of a prompt, base with the instruction → specialist", _prompts, "specialist", "specialist", "5"),
    ("dollars for 1,000 requests, the same two", _price, "specialist", "specialist", "3"),
    (
        "core-seconds of a request, 16 at a time in the engine, the same two",
        _at_full_batch,
        "finetune_price_at_load",
        "finetune/price_at_load",
        "3",
    ),
    (
        "the same task on one GPU: training, from examples to the verdict; valid answers, right fields",
        _on_a_card,
        "finetune_gpu_bake",
        "finetune/gpu_bake",
        "below 120 s",
    ),
    (
        "right fields by the number of examples, each its own training",
        _learning_curve,
        "finetune_curve",
        "finetune/curve",
        "none",
    ),
    (
        "greedy answers equal to transformers': imported, adapter merged, GGUF (fp32)",
        _certificates,
        "finetune_certificates",
        "finetune/certificates",
        "all",
    ),
    ("`kill -9` in LoRA, DoRA and full runs: bits", _kills, "finetune_kills", "finetune/kills", "0"),
    (
        "useful tokens per CPU second, LoRA, ours over theirs",
        lambda r: _peers(r, "lora"),
        "finetune_peers",
        "finetune/peers",
        "1.2",
    ),
    (
        "the same, all weights, AdamW",
        lambda r: _peers(r, "full"),
        "finetune_peers",
        "finetune/peers",
        "1.2",
    ),
)


def section() -> str:
    """The text of it."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield ""
    yield "## From a foundation model to a specialist"
    yield ""
    yield "SmolLM2-135M-Instruct on two CPU cores; [specialist.md](specialist.md) says what the task is."
    yield ""
    yield "| what | figure | goal | script |"
    yield "|---|---|---|---|"
    for what, figure, record, script, goal in ROWS:
        found = json.loads((RESULTS / f"{record}.json").read_text())
        yield f"| {what} | {figure(found)} | {goal} | `benchmarks/{script}.py` |"
