"""What an answer takes: tokens to read, tokens to write, seconds of who waits and of the machine."""

from collections.abc import Callable

from ropewalk.evaluator.domain.answers import all_of_them, of_answers
from ropewalk.evaluator.domain.metric import Metric
from ropewalk.evaluator.domain.statistics import per_example
from ropewalk.evaluator.ports import ExampleAnswer
from ropewalk.usecases.comparison import CORE_SECONDS, WAITING

TIMED_REQUESTS, TIMED_TOKENS = 4, 12
FULL_BATCH = 16  # answers that the endpoint's engine writes together, unless it was set up otherwise


def _spent(name: str, quantity: str, definition: str, of: Callable[[ExampleAnswer], float]) -> Metric:
    return Metric(
        name=name,
        quantity=quantity,
        better="lower",
        definition=definition,
        select=all_of_them,
        score=of_answers(lambda answer, _: of(answer)),
        level=per_example,
        gain=per_example,
    )


METRICS = (
    _spent(
        "prompt_tokens",
        "prompt tokens",
        "Tokens of the whole rendered prompt of a request, the template's own and the instruction's too.",
        lambda answer: float(answer.prompt_tokens),
    ),
    _spent(
        "answer_tokens",
        "answer tokens",
        "Tokens of the answer without its end token, at most the task's max_answer_tokens.",
        lambda answer: float(answer.answer_tokens),
    ),
    _spent(
        WAITING,
        "seconds of a request",
        "Estimated, not measured request by request: prompt tokens times the seconds per prompt token, plus answer "
        "tokens times the seconds per answer token, of one request alone in the process that evaluates (fp32, its "
        f"threads, no prompt cache). Both rates are medians over {TIMED_REQUESTS} requests of each opponent, of "
        f"which {TIMED_TOKENS} tokens were written. The endpoint's own latency is measured on its traffic.",
        lambda answer: answer.seconds,
    ),
    _spent(
        CORE_SECONDS,
        "core-seconds of a request",
        "What a request takes of a machine that is busy, which is what it is priced by: estimated as prompt tokens "
        "times the seconds per prompt token, plus answer tokens times the seconds per answer token, of one core at "
        f"full batch: prompts read one after the other, {FULL_BATCH} answers written together, no prompt cache, as the "
        "endpoint's engine does. Processor seconds in the process that evaluates (fp32).",
        lambda answer: answer.core_seconds,
    ),
)
