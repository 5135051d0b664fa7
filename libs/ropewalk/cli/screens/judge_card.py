"""The card of a judge on the terminal."""

from typing import Any

from ropewalk.cli.screens.terminal import Listing, console, minute, say, titled
from ropewalk.projections.judges import standing_word


def print_card(name: str, facts: dict[str, Any]) -> None:
    """Who it is, then a table per criterion."""
    card = facts["card"]
    say(f"{name}: {standing_word(facts)}", style="bold")
    told = "" if card["tells_probabilities"] else "; it tells no log-probabilities, so one token is taken as the grade"
    for what, words in (
        ("who", f"{card['model']}, {card['decoding']}{told}"),
        ("use case", card["use_case"]),
        ("rubric", f"{card['rubric']}, prompt version {card['prompt_version']}"),
        ("valid until", f"{minute(card['valid_until'])} UTC, for this use case and rubric only"),
        ("asked", _asked(card)),
        ("identity", card["identity"]),
        ("audits", f"{facts['audits']['number']} with {facts['audits']['num_labels']} labels since"),
        (
            "suspended",
            f"{minute(facts['suspended']['at'])} UTC: {facts['suspended']['reason']}" if facts["suspended"] else "",
        ),
    ):
        if words:
            say(f"  {what:12} {words}")
    for each in card["criteria"]:
        _print_criterion(each)


def _asked(card: dict[str, Any]) -> str:
    price = f", ${card['usd']:.4f}" if card["usd"] else ""
    return (
        f"{card['num_calls']:,} calls ({card['num_retries']:,} of them again), {card['prompt_tokens']:,} tokens read, "
        f"{card['seconds']:.0f} s{price}"
    )


def _print_criterion(card: dict[str, Any]) -> None:
    say("")
    say(f"{card['criterion']} (0 to {card['top_grade']}): {card['verdict']}", style="bold")
    say(
        f"  {card['num_items']:,} answers, {card['num_ungraded']:,} without a grade, "
        f"{card['num_labels']:,} with labels of {card['num_raters']} people"
    )
    for reason in card["reasons"]:
        say(f"  {reason}")
    say(f"  calibrated mean: {card['economy']}")
    rows = [
        (
            each["name"],
            f"{float(each['value']):.3f}",
            f"[{float(each['lower']):.3f}, {float(each['upper']):.3f}]",
            f"{each['num_items']:,}",
        )
        for each in card["figures"]
    ]
    if rows:
        console.print(titled("", Listing(("figure", "value", "95 %", "answers"), rows, numbers=("value", "answers"))))
