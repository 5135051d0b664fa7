"""The KServe v2 messages of one completion, on the protobuf classes themselves: no numpy, no copies."""

import json
import secrets
import struct
from typing import Any

from tritonclient.grpc import service_pb2

from ropewalk.serving.adapters.triton_backend.contract import FAILED, REFUSED
from ropewalk.serving.domain.generation import Generation, Piece
from ropewalk.serving.errors import (
    BackendError,
    BackendGoneError,
    ModelNotLoadedError,
    RequestFailedError,
    RequestRefusedError,
)

_FLAGS = (b"\x01", "BOOL")  # true, as a tensor


def request_of(target: str, generation: Generation, *, extensions: bool) -> Any:
    """A ModelInferRequest. Without `extensions` it stays within what NVIDIA's vLLM backend knows.

    That one reads every special token that a text spells, so a forged one is refused: RequestRefusedError.
    """
    if generation.spelled and not extensions:
        raise RequestRefusedError(
            f"a message spells {generation.spelled[0]!r}, which this backend takes for the real one"
        )
    return _request(target, generation.prompt, _sampling(generation, extensions=extensions))


def pulse_of(target: str) -> Any:
    """The request that our backend answers at once, however much it has to do."""
    return _request(target, "", json.dumps({"pulse": True}).encode())


def cancel_of(request: Any) -> Any:
    """The request that ends an earlier one on the same stream."""
    return _request(request.model_name, "", json.dumps({"cancel": request.id}).encode())


def _request(target: str, prompt: str, sampling: bytes) -> Any:
    request = service_pb2.ModelInferRequest(model_name=target, id=secrets.token_hex(8))
    inputs = {
        "text_input": (_bytes(prompt.encode()), "BYTES"),
        "stream": _FLAGS,
        "sampling_parameters": (_bytes(sampling), "BYTES"),
        "exclude_input_in_output": _FLAGS,
        "return_finish_reason": _FLAGS,
        "return_num_input_tokens": _FLAGS,
        "return_num_output_tokens": _FLAGS,
    }
    for name, (content, kind) in inputs.items():
        request.inputs.add(name=name, datatype=kind, shape=[1])
        request.raw_input_contents.append(content)
    return request


def piece_of(response: Any) -> Piece | None:
    """What a stream message says; nothing, if it only ends the stream."""
    result = response.infer_response
    if not result.outputs:
        return None
    raw = {output.name: content for output, content in zip(result.outputs, result.raw_output_contents, strict=True)}
    reason = _text(raw.get("finish_reason"))
    return Piece(
        text=_text(raw["text_output"]),
        token_ids=tuple(json.loads(_text(raw.get("token_ids")) or "[]")),
        finish_reason="" if reason == "None" else reason,
        num_input_tokens=_number(raw.get("num_input_tokens"), "<I"),
        num_output_tokens=_number(raw.get("num_output_tokens"), "<I"),
        logprob_mean=_number(raw.get("logprob_mean"), "<f"),
    )


def error_of(message: str) -> BackendError:
    """Triton's error text in our words."""
    for mark, kind in ((REFUSED, RequestRefusedError), (FAILED, RequestFailedError)):
        _, found, sentence = message.partition(mark)
        if found:
            return kind(sentence)
    lowered = message.lower()
    if "unknown model" in lowered or "not found" in lowered or "is not ready" in lowered:
        return ModelNotLoadedError(message)
    return BackendGoneError(message)


def _sampling(generation: Generation, *, extensions: bool) -> bytes:
    wishes: dict[str, Any] = {
        "max_tokens": generation.max_tokens,
        "temperature": generation.temperature,
        "top_p": generation.top_p,
        "top_k": generation.top_k or -1,
        "ignore_eos": generation.ignore_eos,
    }
    if generation.seed is not None:
        wishes["seed"] = generation.seed
    if generation.stop:
        wishes["stop"] = list(generation.stop)
    if generation.schema:
        wishes["structured_outputs"] = f'{{"json":{generation.schema}}}'  # vLLM's backend wants text within text
    if extensions:
        wishes |= {"return_token_ids": True, "return_logprob_mean": True}
        wishes["marks"] = generation.marks
        wishes["prompt_token_ids"] = generation.prompt_token_ids and list(generation.prompt_token_ids)
    return json.dumps(wishes).encode()


def _bytes(content: bytes) -> bytes:
    return struct.pack("<I", len(content)) + content


def _text(raw: bytes | None) -> str:
    return raw[4:].decode("utf-8", "replace") if raw else ""


def _number(raw: bytes | None, layout: str) -> Any:
    return struct.unpack_from(layout, raw)[0] if raw else 0
