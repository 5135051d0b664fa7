"""What a run will take: tokens, passes over the data, time and price. Rough on purpose; nothing is trained for it.

Training takes what its quote says. The other speeds are those of two CPU cores that also run the services (figures of
`benchmarks/results/demo.json`: cleaning, own tokenizer and encoding together).
"""

from dataclasses import dataclass

from ropewalk.corpus.reading.survey import Survey
from ropewalk.recipes.ladder import ladder_of, num_trials
from ropewalk.recipes.quotation import quote
from ropewalk.recipes.recipe import Recipe

_DATA_BYTES_PER_MINUTE = 60e6
_FIRST_MINUTES = 0.4  # Ray and its workers start for the data and for the search
_OTHER_MINUTES = 1.2  # export, evaluation, deployment, parity
_BASE_VOCAB = 32_768  # of a base model whose tokenizer is not looked at
_CORES = 2


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What is to be expected. Times in minutes of wall time, `usd` at the recipe's prices of an hour."""

    num_tokens: int
    tokens_read: int
    epochs: float
    data_minutes: float
    search_minutes: float
    training_minutes: float
    other_minutes: float
    cpu_hours: float
    gpu_hours: float
    usd: float

    @property
    def minutes(self) -> float:
        """From the first file to the endpoint."""
        return self.data_minutes + self.search_minutes + self.training_minutes + self.other_minutes


def forecast(recipe: Recipe, found: Survey) -> Forecast:
    """The expectation for a complete recipe on what was found in its sources."""
    plan = recipe.derived
    tokens = found.num_tokens(_BASE_VOCAB if recipe.has_base else plan.vocab_size)
    read = plan.total_steps * plan.tokens_per_step
    rounds = ladder_of(recipe).num_rounds(_CORES) if num_trials(recipe) else 0
    training = quote(recipe).seconds.value / 60
    search = 2 * training * rounds / plan.total_steps  # a trial has one core, not two
    times = {
        "data_minutes": _FIRST_MINUTES + found.text_bytes / _DATA_BYTES_PER_MINUTE,
        "search_minutes": _FIRST_MINUTES + search if rounds else 0.0,
        "training_minutes": training,
        "other_minutes": _OTHER_MINUTES,
    }
    cpu_hours = _CORES * sum(times.values()) / 60
    gpu_hours = recipe.training_needs.gpus * times["training_minutes"] / 60
    return Forecast(
        num_tokens=tokens,
        tokens_read=read,
        epochs=read / tokens if tokens else 0.0,
        cpu_hours=cpu_hours,
        gpu_hours=gpu_hours,
        usd=cpu_hours * plan.usd_per_cpu_hour + gpu_hours * plan.usd_per_gpu_hour,
        **times,
    )
