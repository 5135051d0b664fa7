"""The Triton Python-based backend `ropewalk`: the engine behind the tensor contract of NVIDIA's vLLM backend.

Triton loads this file by path inside its stub process. Requests are only queued in `execute`; the engine's thread
decodes, the outbox's thread answers. Whatever happens, every stream gets its final response.
"""

import locale

locale.setlocale(locale.LC_CTYPE, "C.UTF-8")  # the embedded interpreter starts in the C locale; torch fails in it

import json  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
import torch  # noqa: E402
import triton_python_backend_utils as pb_utils  # noqa: E402

from ropewalk.model.engine import Engine, EngineStoppedError, RequestError, Update  # noqa: E402
from ropewalk.serving.adapters.triton_backend.contract import INPUTS, OUTPUTS, REFUSED  # noqa: E402
from ropewalk.serving.adapters.triton_backend.outbox import Outbox, Stream  # noqa: E402
from ropewalk.serving.adapters.triton_backend.parsing import Wanted, parse, read_engine_arguments  # noqa: E402

_FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL


class TritonPythonModel:
    """One loaded model version."""

    @staticmethod
    def auto_complete_config(config: Any) -> Any:
        """Supply the interface, so that a config with the backend's name alone would do."""
        for name, kind, optional in INPUTS:
            config.add_input({"name": name, "data_type": kind, "dims": [1], "optional": optional})
        for name, kind in OUTPUTS:
            config.add_output({"name": name, "data_type": kind, "dims": [-1]})
        config.set_max_batch_size(0)
        config.set_model_transaction_policy({"decoupled": True})
        return config

    def initialize(self, args: dict[str, str]) -> None:
        """Load the weights that model.json names. An exception here is the reason Triton reports for the load."""
        torch.set_num_threads(1)
        place = Path(args["model_repository"]) / args["model_version"] / "model.json"
        arguments = read_engine_arguments(place)
        self._engine = Engine(arguments.folder, num_slots=arguments.num_slots, max_length=arguments.max_length)
        self._outbox = Outbox()
        self._streams: dict[str, Stream] = {}  # by request id, for those that may be cancelled
        self._engine.start()

    def execute(self, requests: list[Any]) -> None:
        """Queue every request. Decoupled: answers go through the response senders, later."""
        for request in requests:
            channel = _Channel(request.get_response_sender())
            try:
                self._accept(request, channel)
            except (RequestError, EngineStoppedError, UnicodeDecodeError) as error:
                channel.fail(str(error), refused=not isinstance(error, EngineStoppedError))

    def finalize(self) -> None:
        """Unload: Triton calls this when no request is open any more."""
        self._engine.stop()
        self._outbox.close()

    def _accept(self, request: Any, channel: "_Channel") -> None:
        wanted = parse(_inputs(request))
        if wanted.cancel:
            self._cancel(wanted.cancel)
            channel.close()
            return
        prompt = wanted.prompt_token_ids
        if prompt is None:
            prompt = self._engine.encode(wanted.text, special_tokens=wanted.add_special_tokens)
        channel.wanted = wanted
        name = request.request_id()
        stream = Stream(channel, streaming=wanted.stream, cancel=self._engine.cancel)

        def on_update(update: Update) -> None:
            if update.finish_reason:
                self._streams.pop(name, None)
            self._outbox.put(stream, update)

        self._streams[name] = stream
        stream.number = self._engine.submit(prompt, wanted.sampling, on_update)

    def _cancel(self, name: str) -> None:
        if stream := self._streams.get(name):
            self._engine.cancel(stream.number)


class _Channel:
    """One response sender."""

    wanted: Wanted

    def __init__(self, sender: Any) -> None:
        self._sender = sender

    def is_cancelled(self) -> bool:
        return bool(self._sender.is_cancelled())

    def send(self, update: Update, *, final: bool) -> None:
        """The client may be gone by now; then nobody misses the message."""
        if update.finish_reason == "error":
            self.fail("the engine stopped before the completion was done", refused=False)
            return
        try:
            response = pb_utils.InferenceResponse(self._tensors(update))
            self._sender.send(response, flags=_FINAL if final else 0)
        except pb_utils.TritonModelException as error:
            pb_utils.Logger.log_info(f"a response was not delivered: {error}")

    def close(self) -> None:
        """Nothing (more) to say."""
        self._sender.send(flags=_FINAL)

    def fail(self, message: str, *, refused: bool) -> None:
        """An error is the last response of a request; the marker tells the client that it is the request's fault."""
        error = pb_utils.TritonError(f"{REFUSED}{message}" if refused else message)
        response = pb_utils.InferenceResponse(output_tensors=[], error=error)
        try:
            self._sender.send(response, flags=_FINAL)
        except pb_utils.TritonModelException as error:
            pb_utils.Logger.log_info(f"an error response was not delivered: {error}")

    def _tensors(self, update: Update) -> list[Any]:
        text = self.wanted.text + update.text if self.wanted.prepend else update.text
        values = {
            "text_output": _strings(text),
            # vLLM's backend writes the Python None of an unfinished completion as text
            "finish_reason": _strings(update.finish_reason or "None"),
            "num_input_tokens": np.array([update.num_input_tokens], dtype=np.uint32),
            "num_output_tokens": np.array([len(update.token_ids)], dtype=np.uint32),
            "token_ids": _strings(json.dumps(update.token_ids)),
            "logprob_mean": np.array([update.logprob_mean], dtype=np.float32),
        }
        wanted = {"text_output", *self.wanted.outputs}
        return [pb_utils.Tensor(name, value) for name, value in values.items() if name in wanted]


def _strings(text: str) -> Any:
    return np.array([text.encode()], dtype=np.object_)


def _inputs(request: Any) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for tensor in request.inputs():
        first = tensor.as_numpy().reshape(-1)[0]
        values[tensor.name()] = first.decode() if isinstance(first, bytes) else bool(first)
    return values
