"""Greedy completions from the OpenAI-compatible endpoint."""

from collections.abc import Sequence

import httpx

from ropewalk.checkpoint_manager.domain.parity import NUM_TOKENS, Completion
from ropewalk.stages.errors import StageError


async def complete_on_endpoint(
    client: httpx.AsyncClient, base_url: str, model: str, prompts: Sequence[str]
) -> tuple[Completion, ...]:
    """Continue the prompts one after the other. `base_url` ends in /v1.

    Raises StageError when the endpoint refuses (4xx), httpx.HTTPError when it is away.
    """
    return tuple([await _complete(client, base_url, model, prompt) for prompt in prompts])


async def _complete(client: httpx.AsyncClient, base_url: str, model: str, prompt: str) -> Completion:
    body = {
        "model": model,
        "prompt": prompt,
        "temperature": 0,
        "max_tokens": NUM_TOKENS,
        "return_token_ids": True,
    }
    response = await client.post(f"{base_url.rstrip('/')}/completions", json=body)
    if response.is_client_error and response.status_code != httpx.codes.TOO_MANY_REQUESTS:
        raise StageError(
            f"the endpoint refused a parity prompt for {model} with status {response.status_code} "
            f"({response.text[:200]}), so nothing was promoted"
        )
    response.raise_for_status()
    choice = response.json()["choices"][0]
    ids = choice.get("token_ids")
    return Completion(text=choice["text"], token_ids=None if ids is None else tuple(ids))
