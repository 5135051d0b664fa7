"""A model from the hub: its own loading code against a server of its own, over HTTP."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from parts.small_engines import a_llama, an_export
from typer.testing import CliRunner

from ropewalk.cli.tree import app
from ropewalk.model.importing.errors import RefusedError
from ropewalk.model.importing.hub import download

COMMIT = "c" * 40
PAPER = "---\nlicense: mit\n---\n# A model\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    place = an_export(tmp_path_factory.mktemp("hub") / "tiny", a_llama())
    (place / "README.md").write_text(PAPER)
    (place / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    (place / "modeling.py").write_text("raise SystemExit('code of a model was run')\n")
    (place / "pytorch_model.bin").write_bytes(b"pickled")
    return place


@pytest.fixture(scope="module")
def hub(folder) -> Iterator[str]:
    """What the hub's client asks for: the facts of `org/tiny`, and its files. Others: 401, as the hub itself does."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path in ("/api/models/org/tiny", f"/api/models/org/tiny/revision/{COMMIT}"):
                files = [{"rfilename": each.name, "size": each.stat().st_size} for each in folder.iterdir()]
                self.answer(200, json.dumps({"id": "org/tiny", "sha": COMMIT, "siblings": files}).encode())
            elif path == f"/api/models/org/tiny/tree/{COMMIT}":
                sizes = {each.name: each.stat().st_size for each in folder.iterdir()}
                tree = [{"type": "file", "path": name, "size": size, "oid": "0"} for name, size in sizes.items()]
                self.answer(200, json.dumps(tree).encode())
            elif path.startswith(f"/org/tiny/resolve/{COMMIT}/"):
                self.answer(200, (folder / path.rpartition("/")[2]).read_bytes())
            else:
                self.answer(401, b'{"error": "Repository not found"}')

        do_HEAD = do_GET

        def answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.send_header("etag", f'"{hash(body)}"')
            self.send_header("x-repo-commit", COMMIT)
            if status == 401:
                self.send_header("x-error-code", "RepoNotFound")
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def asked(hub, monkeypatch) -> None:
    """The hub that the client asks in this process, which read HF_ENDPOINT long ago."""
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub)
    template = f"{hub}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)


@pytest.mark.usefixtures("asked")
def test_weights_and_papers_come_and_neither_code_nor_what_is_pickled(folder, tmp_path) -> None:
    download("org/tiny", tmp_path / "here", lambda _: None)
    found = {path.name: path.read_bytes() for path in (tmp_path / "here").iterdir() if path.is_file()}
    assert set(found) == {each.name for each in folder.iterdir()} - {"modeling.py", "pytorch_model.bin"}
    assert found["model.safetensors"] == (folder / "model.safetensors").read_bytes()


@pytest.mark.usefixtures("asked")
def test_a_model_that_the_hub_does_not_give_is_named(tmp_path) -> None:
    with pytest.raises(RefusedError, match=r"the hub does not give org/none: .*401"):
        download("org/none", tmp_path / "here", lambda _: None)


@pytest.mark.slow
def test_the_command_imports_from_the_hub_that_the_environment_names(hub, tmp_path, monkeypatch) -> None:
    for name, value in (("HF_ENDPOINT", hub), ("ROPEWALK_OBJECTS_URL", f"file://{tmp_path}/store")):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ROPEWALK_STATE_DIR", str(tmp_path / "state"))
    found = CliRunner().invoke(app, ["model", "import", "hf:org/tiny", "--json"])
    assert found.exit_code == 0, found.output
    base = json.loads(found.stdout)
    assert (base["name"], base["source"], base["licence"]) == ("tiny", "hf:org/tiny", "mit")
    assert base["certificate"]["num_equal"] + base["certificate"]["num_ties"] == 64
    listed = json.loads(CliRunner().invoke(app, ["models", "list", "--bases", "--json"]).stdout)
    assert [each["content"] for each in listed] == [base["content"]]
