"""An endpoint that would be wrong to use is refused before anything is sent; the base model writes in our engine."""

import json
import os
import time
from pathlib import Path

import pytest
from parts.small_engines import a_llama, an_export
from parts.writing_endpoint import a_writing_endpoint

from ropewalk.client.synthesis.base_writer import BaseWriter
from ropewalk.client.synthesis.writers import WriterError
from ropewalk.stages.errors import StageError
from ropewalk.usecases.endpoint import ChatEndpoint, Endpoint, EndpointError, NoAnswerError, read_key


@pytest.mark.parametrize(
    ("url", "key", "fault"),
    [
        ("example.org/v1", "", "give a base URL"),
        ("file:///etc/passwd", "", "give a base URL"),
        ("https://me:secret@example.org", "", "give a base URL"),
        ("http://example.org/v1", "k", "a key is sent over https only"),
        ("http://127.0.0.1.example.org", "k", "a key is sent over https only"),
        ("http://[::1", "", "give a base URL"),
        ("https://exam\uff0fple.org/v1", "", "give a base URL"),
        (f"https://{'a' * 300}.org/v1", "", "give a base URL"),
        ("https://example..org/v1", "", "give a base URL"),
        ("https://example.org:99999/v1", "", "give a base URL"),
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


def test_a_folder_a_pipe_or_nothing_is_no_file_with_a_key(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, fault in (
        (".", "no regular file"),
        ("pipe", "no regular file"),
        ("none", "No such file"),
        ("\0", "name"),
    ):
        with pytest.raises(EndpointError, match=fault):
            read_key(tmp_path / name)


KEY = 'sk-"a/b&c'


@pytest.mark.parametrize("said", [KEY, json.dumps(KEY)[1:-1], r"sk-\"a\/b&c", "sk-&quot;a/b&amp;c", "sk-%22a%2Fb%26c"])
@pytest.mark.parametrize("status", [401, 503])
def test_a_key_that_the_endpoint_sends_back_is_in_no_error(said: str, status: int) -> None:
    before = "x" * 190  # the key stands where what is shown is cut
    with a_writing_endpoint() as endpoint:
        endpoint.status, endpoint.body = status, f"{before}Bearer {said}".encode()
        asked = ChatEndpoint(Endpoint(url=endpoint.url, model="m", key=KEY), time.monotonic() + 20)
        with pytest.raises((EndpointError, NoAnswerError)) as caught:
            asked.complete({})
    assert "sk-" not in str(caught.value)
    assert f"status {status}: {before}Bearer …" in str(caught.value)


def test_a_key_in_a_header_that_is_none_is_in_no_error() -> None:
    with a_writing_endpoint() as endpoint:
        endpoint.headers = {"Bearer sk-1234 ": "no name of a header"}
        asked = ChatEndpoint(Endpoint(url=endpoint.url, model="m", key="sk-1234"), time.monotonic() + 20)
        with pytest.raises(NoAnswerError, match="Bearer …"):
            asked.complete({})


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
