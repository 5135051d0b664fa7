"""Imported base models on the terminal."""

from collections.abc import Mapping
from typing import Any

from ropewalk.cli.screens.terminal import Listing, console, minute, print_json, say
from ropewalk.recipes.bases import Base


def show_bases(bases: list[Base], *, as_json: bool) -> None:
    """Their list, oldest first; of two with one name the lower is meant by it."""
    if as_json:
        print_json([base.model_dump(mode="json") for base in bases])
        return
    rows = [
        (
            base.name,
            base.licence,
            f"{base.num_parameters / 1e6:,.1f} M",
            base.family,
            f"{base.context_length:,}",
            minute(base.imported_at),
            base.content[:12],
        )
        for base in bases
    ]
    if rows:
        heads = ("name", "licence", "parameters", "family", "context", "imported (UTC)", "content")
        console.print(Listing(heads, rows, numbers=("parameters", "context")))
    else:
        say("no model is imported yet: `ropewalk models import gguf:FILE`, `hf:FOLDER` or `hf:org/name`")


def show_base(base: Base, *, as_json: bool) -> None:
    """All that is known of one."""
    if as_json:
        print_json(base.model_dump(mode="json"))
        return
    proof = base.certificate
    say(base.name, style="bold")
    for what, words in (
        ("licence", base.licence),
        ("source", base.source),
        ("model", f"{base.family}, {base.num_parameters:,} parameters, context of {base.context_length:,} tokens"),
        ("chats", "by its own template" if base.has_template else "none: it has no chat template"),
        ("imported", f"{minute(base.imported_at)} UTC"),
        (
            "certificate",
            f"{proof.get('num_equal')} of {proof.get('num_prompts')} greedy answers equal those of "
            f"{proof.get('against')} ({proof.get('num_ties')} ties within the noise of {proof.get('dtype')})",
        ),
        ("content", base.content),
    ):
        say(f"  {what:12} {words}")


def told_of_copy(certificate: Mapping[str, Any]) -> str:
    """What a model that was written and read back says, beside what was written."""
    share = f"{certificate['num_equal']} of {certificate['num_prompts']} greedy answers are the same"
    if "bits_per_byte" not in certificate:
        return share
    whole, copy = certificate["bits_per_byte"], certificate["bits_per_byte_read_back"]
    return f"{share}, and a byte of text takes {copy:.4f} bits instead of {whole:.4f}"
