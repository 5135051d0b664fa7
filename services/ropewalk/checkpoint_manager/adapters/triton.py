"""Greedy completions from Triton over gRPC, with the tensor contract of the vLLM backend."""

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc
import numpy as np
from tritonclient.grpc import InferInput
from tritonclient.grpc.aio import InferenceServerClient

from ropewalk.checkpoint_manager.domain.parity import NUM_TOKENS, Completion
from ropewalk.stages.errors import StageError

# Greedy: every path must agree. The last two are extensions of our backend, which another may leave out.
SAMPLING = {"temperature": 0, "max_tokens": NUM_TOKENS, "return_token_ids": True, "return_logprob_mean": True}


async def complete_on_triton(
    address: str, model: str, prompts: Sequence[str], *, key: str, timeout_s: float
) -> tuple[Completion, ...]:
    """Continue the prompts one after the other; a model is decoupled, so every request is a stream.

    `key` is one of the endpoint's API keys: the same keys open Triton's protocols.
    Raises StageError for a key that is not known, tritonclient's InferenceServerException when the server refuses or
    does not answer in time.
    """
    client = InferenceServerClient(url=address)
    headers = {"authorization": f"Bearer {key}"}
    try:
        return tuple([await _complete(client, _request(model, prompt), headers, timeout_s) for prompt in prompts])
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.UNAUTHENTICATED:
            raise
        raise StageError(f"{address} refused a parity prompt for {model}: {error.details()}") from None
    finally:
        await client.close()


async def _complete(
    client: InferenceServerClient, request: dict[str, Any], headers: dict[str, str], timeout_s: float
) -> Completion:
    text, ids, ids_offered, mean = "", [], False, None
    async for result, error in client.stream_infer(_one(request), stream_timeout=timeout_s, headers=headers):
        if error is not None:
            raise error
        text += "".join(_decoded(result, "text_output"))
        for part in _decoded(result, "token_ids"):
            ids_offered = True
            ids.extend(json.loads(part))
        means = result.as_numpy("logprob_mean")  # of all tokens so far
        mean = mean if means is None else float(means.reshape(-1)[0])
        final = result.get_response().parameters.get("triton_final_response")
        if final is not None and final.bool_param:
            break
    return Completion(text=text, token_ids=tuple(ids) if ids_offered else None, logprob_mean=mean)


async def _one(request: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    yield request


def _request(model: str, prompt: str) -> dict[str, Any]:
    return {
        "model_name": model,
        "inputs": [
            _tensor("text_input", prompt.encode(), "BYTES"),
            _tensor("stream", False, "BOOL"),
            _tensor("sampling_parameters", json.dumps(SAMPLING).encode(), "BYTES"),
            _tensor("exclude_input_in_output", True, "BOOL"),
        ],
        "enable_empty_final_response": True,
    }


def _tensor(name: str, value: bytes | bool, datatype: str) -> InferInput:
    tensor = InferInput(name, [1], datatype)
    tensor.set_data_from_numpy(np.array([value], dtype=object if datatype == "BYTES" else bool))
    return tensor


def _decoded(result: Any, name: str) -> list[str]:
    values = result.as_numpy(name)
    return [] if values is None else [value.decode("utf-8", "replace") for value in values.reshape(-1)]
