"""`plan`: what a budget gives, before anything is submitted."""

import asyncio
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from pydantic import JsonValue

from ropewalk.cli.connecting import call, settings_of
from ropewalk.cli.options import AsJson, StateDir
from ropewalk.cli.screens.dry_run import look_at_data
from ropewalk.cli.screens.terminal import Listing, complain, console, print_json, say, titled
from ropewalk.client import Client
from ropewalk.client.errors import ClientError
from ropewalk.events.data import DatasetPublished, TokenizerTrained
from ropewalk.events.foreign import quoted
from ropewalk.recipes.builtin import load_recipe, resolve_recipe
from ropewalk.recipes.device_table import DEVICES
from ropewalk.recipes.expected import Expected
from ropewalk.recipes.paths import with_absolute_paths
from ropewalk.recipes.planning import SIZES, Budget, Planned, plan_for
from ropewalk.recipes.quotation import Quote, TextFacts, times
from ropewalk.recipes.recipe import RecipeError, SourceRecipe
from ropewalk.stages.child import run_child

app = typer.Typer()
_MOST = 1_000_000  # dollars or hours
_NO_SOURCE: dict[str, JsonValue] = {"name": "planned", "sources": [{"path": "/data", "licence": "LicenseRef-yours"}]}


@app.command()
def plan(
    recipe: Annotated[str | None, typer.Argument(help="A built-in recipe's name or a YAML file.")] = None,
    budget: Annotated[float, typer.Option(help="Dollars for the training.")] = 0.0,
    hours: Annotated[float, typer.Option(help="Hours that the training may take.")] = 0.0,
    size: Annotated[str, typer.Option(help="tiny, nano, micro, small or base; default: the best for the budget.")] = "",
    gpu: Annotated[str, typer.Option(help="h100, h200, a100 or l4; default: the recipe's device.")] = "",
    data: Annotated[str, typer.Option(help="A folder or file, or a dataset version of the log.")] = "",
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Turn a budget into a size, tokens, rates, and the loss, time and price to expect, with intervals.

    Without --data the recipe's own sources are looked at: what is read again teaches less.

    Example: ropewalk plan python-stdlib --budget 25 --gpu h100
    """
    _check(budget, hours, size, gpu)
    fields = with_absolute_paths(load_recipe(recipe), Path.cwd()) if recipe else dict(_NO_SOURCE)
    if gpu:
        fields |= {"device": "cuda", "gpu_kind": gpu, "num_workers": 1}
    text = _text_facts(data, state_dir) if data or not recipe else _of_sources(resolve_recipe(fields).sources)
    planned = plan_for(fields, Budget(usd=budget, hours=hours, size=size), text)
    if as_json:
        print_json(_as_json(planned))
        return
    _show(planned)


def _check(budget: float, hours: float, size: str, gpu: str) -> None:
    violations = [
        f"{option} is {value:g}: give a number from 0 to {_MOST:,}"
        for option, value in (("--budget", budget), ("--hours", hours))
        if not 0 <= value <= _MOST  # nor is nan
    ]
    if not budget and not hours and not size:
        violations.append("nothing says how much to train: give --budget, --hours or --size")
    if size and size not in SIZES:
        violations.append(f"--size is {quoted(size)}: choose {', '.join(SIZES)}")
    kinds = [name for name in DEVICES if name != "cpu"]
    if gpu and gpu not in kinds:
        violations.append(f"--gpu is {quoted(gpu)}: the device table has {', '.join(kinds)}")
    if violations:
        raise RecipeError(tuple(violations))


def _text_facts(data: str, state_dir: Path | None) -> TextFacts:
    """What the data says of the training; nothing if none is named. Raises ClientError."""
    if not data:
        return TextFacts()
    path = Path(data).expanduser().absolute()
    if path.exists():
        if not path.is_file() and not path.is_dir():
            raise ClientError(f"--data is {quoted(data)}: that is no regular file and no folder")
        source = SourceRecipe(path=str(path), licence="LicenseRef-planned")
        return _of_sources((source,))
    return call(lambda client: _of_version(client, data), settings_of(state_dir))


def _of_sources(sources: tuple[SourceRecipe, ...]) -> TextFacts:
    """How much text lies there, as far as a bounded look tells."""
    found = asyncio.run(run_child(look_at_data, sources))  # a file may end the process of its reader
    if not found.text_bytes:
        complain("no text was found in the data: planned for text without end", style="yellow")
    return TextFacts(num_bytes=found.text_bytes)


async def _of_version(client: Client, version: str) -> TextFacts:
    async for stored in client.bus.read(f"{DatasetPublished.subject_prefix()}.>"):
        event = stored.message
        if isinstance(event, DatasetPublished) and event.dataset_version.startswith(version):
            trained = await client.bus.last(TokenizerTrained, event.run_id)
            return TextFacts(num_bytes=event.num_tokens * (trained.bytes_per_token if trained else 1.0))
    raise ClientError(f"--data is {quoted(version)}: no file or folder here, and no dataset version in the log")


def _show(planned: Planned) -> None:
    console.print(titled("plan", Listing(("what", "how much"), _rows(planned))))
    if planned.others:
        rows = [(size, *_short(quote)) for size, quote in planned.others]
        console.print(titled("other sizes", Listing(("size", "tokens", "time", "price", "bits per byte"), rows)))
    for remark in planned.quote.remarks:
        complain(remark, style="yellow")
    say("add to the recipe:")
    for line in yaml.safe_dump(_changes(planned), sort_keys=False).splitlines():
        say(f"  {line}")


def _rows(planned: Planned) -> Iterator[tuple[str, str]]:
    quote, derived = planned.quote, planned.recipe.derived
    yield "size", f"{planned.recipe.size}: width {derived.hidden_size}, {derived.num_layers} layers"
    yield "device", f"{quote.num_devices} x {quote.device}, {derived.precision}"
    epochs = f", {times(quote.epochs)} the data" if quote.epochs else ""
    yield "tokens", f"{quote.tokens:,} in {derived.total_steps:,} steps{epochs}"
    matrices = f"matrices {derived.matrix_lr:g}, the rest " if derived.optimizer == "muon" else ""
    yield "rates", f"{matrices}{derived.adam_lr:g}, batch {derived.batch_size} windows"
    yield "time", _range(quote.seconds.times(1 / 3600), "{:.2f}", " hours")
    yield "price", _price(quote.usd)
    if quote.loss:
        yield "loss", _range(quote.loss, "{:.2f}", " nats per token")
    if quote.bits_per_byte:
        yield "bits per byte", _range(quote.bits_per_byte, "{:.2f}", "")
    even = planned.break_even
    yield (
        "paid by the token",
        f"at ${even.saas_usd_per_million:.2f} a million elsewhere, the training costs as much as "
        f"{even.tokens_for_training:,.0f} tokens, a month of answering as much as "
        f"{even.tokens_a_month_for_serving:,.0f} tokens",
    )


def _short(quote: Quote) -> tuple[str, str, str, str]:
    bits = _range(quote.bits_per_byte, "{:.2f}", "") if quote.bits_per_byte else "not known"
    hours = _range(quote.seconds.times(1 / 3600), "{:.2f}", " hours")
    return f"{quote.tokens:,}", hours, _price(quote.usd), bits


def _price(usd: Expected) -> str:
    """In dollars and cents; below ten cents with digits enough to show something."""
    return "$" + _range(usd, "{:.2f}" if usd.low >= 0.1 else "{:.4f}", "")


def _range(expected: Expected, form: str, unit: str) -> str:
    value, low, high = (form.format(each) for each in (expected.value, expected.low, expected.high))
    return f"{value}{unit} ({low} to {high})"


def _changes(planned: Planned) -> dict[str, JsonValue]:
    """What a recipe must say for this plan."""
    recipe = planned.recipe
    changes: dict[str, JsonValue] = {"size": recipe.size, "training": {"total_steps": recipe.derived.total_steps}}
    if recipe.device == "cuda":
        changes |= {"device": "cuda", "gpu_kind": recipe.gpu_kind, "num_workers": recipe.num_workers}
    return changes


def _as_json(planned: Planned) -> dict[str, Any]:
    return {
        "changes": _changes(planned),
        "plan": planned.recipe.derived.model_dump(mode="json"),
        "quote": asdict(planned.quote),
        "break_even": asdict(planned.break_even),
        "others": {size: asdict(quote) for size, quote in planned.others},
    }
