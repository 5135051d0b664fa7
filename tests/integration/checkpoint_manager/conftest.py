"""A small model on disk, and endpoints that answer with it over real gRPC and HTTP."""

import json
import struct
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast
from tritonclient.grpc import service_pb2, service_pb2_grpc

from ropewalk.corpus.document import write_records
from ropewalk.events.data import DatasetPublished
from ropewalk.model.architecture import Shape, build_model
from ropewalk.model.chat.encoder import Encoder
from ropewalk.model.tokenizer import decode, load_tokenizer
from ropewalk.model.weights import greedy_tokens, load_model, save_weights
from ropewalk.recipes.builtin import resolve_recipe
from ropewalk.storage.local import LocalObjects

RUN = "r"
CHECKPOINT = "r-7-40"
CHECKPOINT_URI = "runs/r/checkpoints/7-40"
KEY = "internal-key"


def train_tokenizer(folder: Path) -> None:
    """A byte-level BPE of 300 tokens, as preprocessing makes it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<|endoftext|>", "<|user|>", "<|assistant|>", "<|system|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["def f(self):\n    return self.value\n" * 20], trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>", pad_token="<|endoftext|>")
    fast.save_pretrained(folder)


def write_checkpoint(folder: Path, seed: int) -> None:
    """Random weights, large enough for every token to have a clear winner."""
    shape = Shape(
        vocab_size=300,
        hidden_size=32,
        num_layers=2,
        num_heads=2,
        num_kv_heads=1,
        head_dim=16,
        intermediate_size=64,
        context_length=64,
    )
    model = build_model(shape, seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0.0, 0.3, generator=generator)
    save_weights(model.state_dict(), model.config, folder)


@pytest.fixture
def stage(tmp_path: Path, stage_here: Callable[..., Any]) -> Any:
    """A run up to its final checkpoint: dataset, tokenizer, held-out files and weights are in the store."""
    objects = LocalObjects(tmp_path / "objects")
    for name in ("tokenizer", "checkpoint", "evalset", "scratch"):
        (tmp_path / name).mkdir()
    train_tokenizer(tmp_path / "tokenizer")
    objects.publish(tmp_path / "tokenizer", "tokenizers/t", {})
    write_checkpoint(tmp_path / "checkpoint", seed=3)
    objects.publish(tmp_path / "checkpoint", CHECKPOINT_URI, {"checkpoint_id": CHECKPOINT})
    items = [{"item_id": str(n), "path": f"{n}.py", "text": f"import os, m{n}\nx = {n}\n" * 9} for n in range(20)]
    write_records(tmp_path / "evalset" / "items.jsonl.zst", items)
    objects.publish(tmp_path / "evalset", "evalsets/e", {})
    context = stage_here(objects, tmp_path / "scratch", resolve_recipe({"base": "python-stdlib-tiny"}))
    context.bus.messages.append(
        DatasetPublished(
            run_id=RUN,
            dataset_version="v",
            uri="datasets/v",
            tokenizer_uri="tokenizers/t",
            evalset_uri="evalsets/e",
            num_inputs=0,
            num_kept=0,
            num_held_out=20,
            dropped={},
            num_tokens=0,
            num_windows=0,
            context_length=64,
        )
    )
    return context


@dataclass
class Endpoints:
    """What the two servers were asked and whether they give token ids."""

    triton_grpc: str
    openai_url: str
    load: Callable[[Path], None]
    options: dict[str, bool]


@pytest.fixture
def endpoints() -> Iterator[Endpoints]:
    """Triton's streaming gRPC with the vLLM tensors, and /v1/completions. Both continue with the loaded folder."""
    loaded: dict[str, object] = {}
    options = {"token_ids": True}

    def load(folder: Path) -> None:
        loaded.update(model=load_model(folder), tokenizer=load_tokenizer(folder), encoder=Encoder(folder))

    def logprob_mean(prompt: str, new: list[int]) -> float:
        ids = loaded["encoder"].text(prompt) + new
        with torch.inference_mode():
            logprobs = loaded["model"](input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
        places = range(len(ids) - len(new), len(ids))
        return sum(float(logprobs[place - 1, ids[place]]) for place in places) / len(new)

    def answer(prompt: str, max_tokens: int) -> tuple[str, list[int]]:
        tokenizer = loaded["tokenizer"]
        ids = greedy_tokens(loaded["model"], loaded["encoder"].text(prompt), max_tokens, tokenizer.eos_token_id)
        return decode(tokenizer, ids), ids

    triton = grpc.server(ThreadPoolExecutor(4))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(_Triton(answer, logprob_mean, options), triton)
    port = triton.add_insecure_port("127.0.0.1:0")
    triton.start()
    http = ThreadingHTTPServer(("127.0.0.1", 0), _openai_handler(answer, options))
    thread = threading.Thread(target=http.serve_forever)
    thread.start()
    yield Endpoints(f"127.0.0.1:{port}", f"http://127.0.0.1:{http.server_port}/v1", load, options)
    http.shutdown()
    http.server_close()
    thread.join()
    triton.stop(None).wait()


class _Triton(service_pb2_grpc.GRPCInferenceServiceServicer):
    def __init__(self, answer: Callable, logprob_mean: Callable, options: dict[str, bool]) -> None:
        self.answer, self.logprob_mean, self.options = answer, logprob_mean, options

    def ModelStreamInfer(self, requests, context):
        if dict(context.invocation_metadata())["authorization"] != f"Bearer {KEY}":
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "wrong key")
        for request in requests:
            inputs = {tensor.name: raw for tensor, raw in zip(request.inputs, request.raw_input_contents, strict=True)}
            sampling = json.loads(inputs["sampling_parameters"][4:])
            assert sampling["temperature"] == 0
            assert (inputs["stream"], inputs["exclude_input_in_output"]) == (b"\x00", b"\x01")
            prompt = inputs["text_input"][4:].decode()
            text, ids = self.answer(prompt, sampling["max_tokens"])
            values = {"text_output": text}
            if self.options["token_ids"] and sampling["return_token_ids"]:
                values["token_ids"] = json.dumps(ids)
                values["logprob_mean"] = self.logprob_mean(prompt, ids)
            asked = {tensor.name for tensor in request.outputs}
            values = {name: value for name, value in values.items() if not asked or name in asked}
            yield _response(request.model_name, values, final=False)
            yield _response(request.model_name, {}, final=True)


def _response(model: str, values: dict[str, str | float], *, final: bool):
    response = service_pb2.ModelInferResponse(model_name=model)
    response.parameters["triton_final_response"].bool_param = final
    for name, value in values.items():
        if isinstance(value, float):
            response.outputs.add(name=name, datatype="FP32", shape=[1])
            response.raw_output_contents.append(struct.pack("<f", value))
            continue
        response.outputs.add(name=name, datatype="BYTES", shape=[1])
        body = value.encode()
        response.raw_output_contents.append(struct.pack("<I", len(body)) + body)
    return service_pb2.ModelStreamInferResponse(infer_response=response)


def _openai_handler(answer: Callable, options: dict[str, bool]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.headers["Authorization"] != f"Bearer {KEY}":
                self.reply(401, {"error": {"message": "wrong key"}})
                return
            assert (self.path, body["model"], body["temperature"]) == ("/v1/completions", "pycode@1", 0)
            text, ids = answer(body["prompt"], body["max_tokens"])
            choice = {"text": text} | ({"token_ids": ids} if options["token_ids"] else {})
            self.reply(200, {"choices": [choice]})

        def reply(self, status: int, body: dict) -> None:
            raw = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *arguments: object) -> None:
            pass

    return Handler
