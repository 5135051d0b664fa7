"""What an answer takes: tokens to read, tokens to write, seconds."""

from ropewalk.evaluator.domain.answers import all_of_them, of_answers
from ropewalk.evaluator.domain.metric import Metric
from ropewalk.evaluator.domain.statistics import per_example

TIMED_REQUESTS, TIMED_TOKENS = 4, 12

METRICS = (
    Metric(
        name="prompt_tokens",
        quantity="prompt tokens",
        better="lower",
        unit="",
        definition="Tokens of the whole rendered prompt of a request, the template's own and the instruction's too.",
        select=all_of_them,
        score=of_answers(lambda answer, _: float(answer.prompt_tokens)),
        level=per_example,
        gain=per_example,
    ),
    Metric(
        name="answer_tokens",
        quantity="answer tokens",
        better="lower",
        unit="",
        definition="Tokens of the answer without its end token, at most the task's max_answer_tokens.",
        select=all_of_them,
        score=of_answers(lambda answer, _: float(answer.answer_tokens)),
        level=per_example,
        gain=per_example,
    ),
    Metric(
        name="answer_seconds",
        quantity="seconds of a request",
        better="lower",
        unit="",
        definition=(
            "Estimated, not measured request by request: prompt tokens times the seconds per prompt token, plus answer "
            "tokens times the seconds per answer token, of one request alone in the process that evaluates (fp32, its "
            f"threads, no prompt cache). Both rates are medians over {TIMED_REQUESTS} requests of each opponent, of "
            f"which {TIMED_TOKENS} tokens were written. The endpoint's own latency is measured on its traffic."
        ),
        select=all_of_them,
        score=of_answers(lambda answer, _: answer.seconds),
        level=per_example,
        gain=per_example,
    ),
)
