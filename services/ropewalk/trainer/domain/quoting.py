"""What the log is told of a training before it begins. Pure."""

from ropewalk.events.training import TrainingQuoted
from ropewalk.recipes.quotation import TextFacts, quote
from ropewalk.recipes.recipe import Recipe


def training_quoted(run_id: str, recipe: Recipe, num_tokens: int, bytes_per_token: float) -> TrainingQuoted:
    """The forecast for a complete recipe on a dataset of so many tokens."""
    text = TextFacts(num_bytes=num_tokens * (bytes_per_token or 1.0), bytes_per_token=bytes_per_token or 1.0)
    quoted = quote(recipe, text)
    bounds = {
        name: expected
        for name, expected in (("seconds", quoted.seconds), ("usd", quoted.usd), ("loss", quoted.loss))
        if expected is not None
    }
    return TrainingQuoted.model_validate(
        {
            "run_id": run_id,
            "tokens": quoted.tokens,
            "remark": "; ".join(quoted.remarks),
            **{name: each.value for name, each in bounds.items()},
            **{f"{name}_low": each.low for name, each in bounds.items()},
            **{f"{name}_high": each.high for name, each in bounds.items()},
        }
    )
