"""A real Triton with a tiny random model, shared by all tests of this folder."""

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from parts.triton_process import TritonServer
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import Qwen3Config, Qwen3ForCausalLM

from ropewalk.serving.settings import GatewaySettings, Settings, TritonSettings


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(["def add(a, b):\n    return a + b\n"] * 4, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    torch.manual_seed(3)
    config = Qwen3Config(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=128,
        eos_token_id=0,
    )
    Qwen3ForCausalLM(config).save_pretrained(folder)
    (folder / "tokenizer_config.json").write_text(
        '{"chat_template": "{% for m in messages %}{{ m.role }}: {{ m.content }}\\n{% endfor %}assistant:"}'
    )
    return folder


@pytest.fixture(scope="session")
def make_settings(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Settings]:
    def make() -> Settings:
        return Settings(
            state_dir=tmp_path_factory.mktemp("state"),
            triton=TritonSettings(
                http=free_port(),
                grpc=free_port(),
                num_slots=8,
                idle_s=0.7,
            ),
            gateway=GatewaySettings(port=free_port(), demo_key="rw-demo", internal_key="rw-internal"),
        )

    return make


@pytest.fixture(scope="session")
def settings(make_settings: Callable[[], Settings]) -> Settings:
    return make_settings()


@pytest.fixture(scope="session")
def environment_of() -> Callable[[Settings, Any], dict[str, str]]:
    """The environment in which the serving process finds a server and its own ports."""

    def environment(settings: Settings, nats: Any) -> dict[str, str]:
        return os.environ | {
            "ROPEWALK_STATE_DIR": str(settings.state_dir),
            "ROPEWALK_NATS_URL": nats.settings.url,
            "ROPEWALK_NATS_USER": nats.settings.user,
            "ROPEWALK_NATS_PASSWORD": nats.settings.password,
            "ROPEWALK_SERVING_PORT": str(settings.gateway.port),
            "ROPEWALK_SERVING_DEMO_KEY": settings.gateway.demo_key,
            "ROPEWALK_SERVING_TRITON_HTTP": str(settings.triton.http),
            "ROPEWALK_SERVING_TRITON_GRPC": str(settings.triton.grpc),
        }

    return environment


@pytest.fixture(scope="session")
def triton(settings: Settings) -> Iterator[TritonServer]:
    server = TritonServer(settings, settings.state_dir / "triton.log")
    server.start()
    yield server
    server.stop()
