"""The Triton Python-based backend `ropewalk`: the engine behind the tensor contract of NVIDIA's vLLM backend.

Triton loads this file by path inside its stub process. Requests are only queued in `execute`, which is one thread for
all: long prompts are cut into tokens and schemas compiled by other threads, the engine's decodes, the outbox's answers.
So whoever asks for the pulse hears at once whether the stub lives. Whatever happens, every stream gets its final
response.
"""

import locale

locale.setlocale(locale.LC_CTYPE, "C.UTF-8")  # the embedded interpreter starts in the C locale; torch fails in it

import contextlib  # noqa: E402
import json  # noqa: E402
from collections.abc import Iterator  # noqa: E402
from concurrent.futures import ThreadPoolExecutor  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
import torch  # noqa: E402
import triton_python_backend_utils as pb_utils  # noqa: E402

from ropewalk.events.foreign import one_line  # noqa: E402
from ropewalk.model.engine import Engine, EngineRequestError, EngineStoppedError, Update  # noqa: E402
from ropewalk.model.engine_grammar import Constraint  # noqa: E402
from ropewalk.serving.adapters.triton_backend.contract import FAILED, REFUSED, SCHEMA  # noqa: E402
from ropewalk.serving.adapters.triton_backend.outbox import Outbox, Stream  # noqa: E402
from ropewalk.serving.adapters.triton_backend.parsing import Wanted, parse  # noqa: E402
from ropewalk.serving.adapters.triton_backend.shared_memory import tidy  # noqa: E402

_LONG_CHARS = 4_000  # cutting a shorter prompt into tokens takes about a millisecond
_STOPPED = "the engine stopped before the completion was done"
_FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL


class TritonPythonModel:
    """One loaded model version."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the weights that model.json names. An exception here is the reason Triton reports for the load."""
        tidy()
        torch.set_num_threads(1)
        place = Path(args["model_repository"]) / args["model_version"] / "model.json"
        arguments = json.loads(place.read_text())  # vLLM's names, read by both backends
        base = place.parent / "base"  # many adapters share one, mapped from the file
        self._engine = Engine(
            Path(arguments["model"]), num_slots=arguments["max_num_seqs"], base=base if base.is_dir() else None
        )
        self._outbox = Outbox()
        self._encoder = ThreadPoolExecutor(1, thread_name_prefix="encoder")
        self._compiler = ThreadPoolExecutor(1, thread_name_prefix="compiler")  # a schema may take 0.2 s
        self._streams: dict[str, Stream] = {}  # by request id, for those that may be cancelled
        self._engine.start()

    def execute(self, requests: list[Any]) -> None:
        """Queue every request. Decoupled: answers go through the response senders, later."""
        for request in requests:
            channel = _Channel(request.get_response_sender())
            with channel.told():
                self._accept(request.request_id(), parse(_inputs(request)), channel)

    def finalize(self) -> None:
        """Unload: Triton calls this when no request is open any more."""
        self._encoder.shutdown()
        self._compiler.shutdown()
        self._engine.stop()
        self._outbox.close()

    def _accept(self, name: str, wanted: Wanted, channel: "_Channel") -> None:
        if wanted.parameters.pulse:
            channel.report({"silent_s": self._engine.silent_s, "num_waiting": self._engine.num_waiting})
        elif wanted.parameters.cancel:
            self._cancel(wanted.parameters.cancel)
            channel.close()
        else:
            channel.wanted = wanted
            stream = Stream(channel, streaming=wanted.stream, cancel=self._engine.cancel)
            self._streams[name] = stream
            if wanted.schema:
                self._compiler.submit(self._begin, name, stream, channel)
            elif len(wanted.text) > _LONG_CHARS:
                self._encoder.submit(self._begin, name, stream, channel)
            else:
                self._begin(name, stream, channel)

    def _begin(self, name: str, stream: Stream, channel: "_Channel") -> None:
        """Cut the prompt into tokens and hand it to the engine."""

        def on_update(update: Update) -> None:
            if update.finish_reason:
                self._streams.pop(name, None)
            self._outbox.put(stream, update)

        with channel.told():
            try:
                wanted, prompt = channel.wanted, channel.wanted.parameters.prompt_token_ids
                if prompt is None:
                    prompt = self._engine.encode(wanted.text, wanted.parameters.marks)
                stream.number = self._engine.submit(prompt, wanted.sampling, on_update, self._constraint(wanted.schema))
            except BaseException:
                self._streams.pop(name, None)
                raise
            if stream.cancelled:  # meanwhile
                self._engine.cancel(stream.number)

    def _constraint(self, schema: str) -> Constraint | None:
        try:
            return self._engine.constraint(schema) if schema else None
        except EngineRequestError as error:
            raise EngineRequestError(f"{SCHEMA}: {error}") from None

    def _cancel(self, name: str) -> None:
        if stream := self._streams.get(name):
            stream.cancelled = True
            self._engine.cancel(stream.number)


class _Channel:
    """One response sender."""

    wanted: Wanted

    def __init__(self, sender: Any) -> None:
        self._sender = sender

    def is_cancelled(self) -> bool:
        return bool(self._sender.is_cancelled())

    @contextlib.contextmanager
    def told(self) -> Iterator[None]:
        """Whatever goes wrong in this block is told to this client, and the others never notice."""
        try:
            yield
        except (EngineRequestError, UnicodeDecodeError) as error:
            self.fail(f"{REFUSED}{one_line(str(error), 600)}")
        except EngineStoppedError as error:
            self.fail(str(error))
        except Exception as error:  # noqa: BLE001 - anything, or it would end the requests of everybody
            self.fail(f"{FAILED}{type(error).__name__}: {one_line(str(error))}")

    def send(self, update: Update, *, final: bool) -> None:
        """The client may be gone by now; then nobody misses the message."""
        if update.finish_reason == "error":
            mark = f"{REFUSED}{SCHEMA}: " if update.is_refused else FAILED
            self.fail(f"{mark}{one_line(update.error, 600)}" if update.error else _STOPPED)
            return
        try:
            response = pb_utils.InferenceResponse(self._tensors(update))
            self._sender.send(response, flags=_FINAL if final else 0)
        except pb_utils.TritonModelException as error:
            pb_utils.Logger.log_info(f"a response was not delivered: {error}")

    def report(self, values: dict[str, Any]) -> None:
        """The engine's state as the only response."""
        tensor = pb_utils.Tensor("text_output", _strings(json.dumps(values)))
        self._sender.send(pb_utils.InferenceResponse([tensor]), flags=_FINAL)

    def close(self) -> None:
        """Nothing (more) to say."""
        self._sender.send(flags=_FINAL)

    def fail(self, message: str) -> None:
        """An error is the last response of a request; how it begins tells the client whose fault it is."""
        response = pb_utils.InferenceResponse(output_tensors=[], error=pb_utils.TritonError(message))
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
