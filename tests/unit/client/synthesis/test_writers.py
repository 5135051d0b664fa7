"""An endpoint that would be wrong to use is refused before anything is sent; the base model writes in our engine."""

import time
from pathlib import Path

import pytest
from parts.small_engines import a_llama, an_export

from ropewalk.client.synthesis.base_writer import BaseWriter
from ropewalk.client.synthesis.writers import WriterError
from ropewalk.stages.errors import StageError
from ropewalk.usecases.endpoint import Endpoint, EndpointError, read_key


@pytest.mark.parametrize(
    ("url", "key", "fault"),
    [
        ("example.org/v1", "", "give a base URL"),
        ("file:///etc/passwd", "", "give a base URL"),
        ("https://me:secret@example.org", "", "give a base URL"),
        ("http://example.org/v1", "k", "a key is sent over https only"),
        ("http://127.0.0.1.example.org", "k", "a key is sent over https only"),
    ],
)
def test_a_wrong_address_is_refused(url: str, key: str, fault: str) -> None:
    with pytest.raises(EndpointError, match=fault):
        Endpoint(url=url, model="m", key=key)


def test_a_key_goes_to_this_machine_or_over_https_and_is_in_no_text_of_the_endpoint() -> None:
    for url in ("http://127.0.0.1:1/v1", "http://localhost/v1", "http://[::1]:9/v1", "https://example.org/v1"):
        assert "secret" not in repr(Endpoint(url=url, model="m", key="secret"))
    with pytest.raises(EndpointError, match="model is missing"):
        Endpoint(url="https://example.org/v1", model="")


@pytest.mark.parametrize("content", ["", "two words", "ü", "x" * 5_000])
def test_a_file_without_a_key_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "key").write_text(content)
    with pytest.raises(EndpointError, match="holds no key"):
        read_key(tmp_path / "key")
    (tmp_path / "key").write_text("sk-1\n")
    assert read_key(tmp_path / "key") == "sk-1"


def test_the_base_model_writes_and_an_answer_without_an_end_is_none(tmp_path: Path) -> None:
    base, until = an_export(tmp_path / "base", a_llama()), time.monotonic() + 60
    with pytest.raises(StageError, match="chat template"):
        BaseWriter(base, "mini", until).say([{"role": "user", "content": "a"}], 4, 1.0)
    (base / "chat_template.jinja").write_text("{% for m in messages %}{{ m.content }}\n{% endfor %}")
    writer = BaseWriter(base, "mini", until)
    said = [writer.say([{"role": "user", "content": "a"}], 60, 3.0) for _ in range(20)]
    assert "" in said
    writer.close()
    with pytest.raises(WriterError, match="stopped"):
        writer.say([{"role": "user", "content": "a"}], 4, 1.0)
    with pytest.raises(StageError, match="name an endpoint with --from"):
        BaseWriter(tmp_path, "none", until)
