"""The names of OpenTelemetry's conventions for what callers say in plain words.

The gen_ai conventions are still in development: a rename is one line here.
"""

from collections.abc import Mapping

from opentelemetry.util.types import AttributeValue

ATTRIBUTE_NAMES: Mapping[str, str] = {
    "operation": "gen_ai.operation.name",
    "provider": "gen_ai.provider.name",
    "model": "gen_ai.request.model",
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "top_k": "gen_ai.request.top_k",
    "max_tokens": "gen_ai.request.max_tokens",
    "seed": "gen_ai.request.seed",
    "response_model": "gen_ai.response.model",
    "response_id": "gen_ai.response.id",
    "finish_reasons": "gen_ai.response.finish_reasons",
    "input_tokens": "gen_ai.usage.input_tokens",
    "output_tokens": "gen_ai.usage.output_tokens",
    "token_type": "gen_ai.token.type",
    "error_type": "error.type",
    "status_code": "http.response.status_code",
    "route": "http.route",
    "subject": "messaging.destination.name",
    "message_id": "messaging.message.id",
    "run_id": "ropewalk.run.id",
    "checkpoint_id": "ropewalk.checkpoint.id",
    "dataset_version": "ropewalk.dataset.version",
}


def named(attributes: Mapping[str, AttributeValue]) -> dict[str, AttributeValue]:
    """Attributes under exported names. A word that is not listed is exported as `ropewalk.<word>`."""
    return {
        ATTRIBUTE_NAMES.get(word, word if "." in word else f"ropewalk.{word}"): value
        for word, value in attributes.items()
    }
