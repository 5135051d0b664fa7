"""An OpenAI-compatible endpoint on loopback that writes as it is told, well or badly."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Say = Callable[[dict[str, Any]], str]


@dataclass
class Told:
    """What it answers: a text by `say`, or the bytes of `body`, in pieces with a pause if there is one."""

    say: Say
    status: int = 200
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    drip_s: float = 0.0
    asked: list[tuple[dict[str, str], dict[str, Any]]] = field(default_factory=list)
    url: str = ""


def completion(text: object, **fields: object) -> bytes:
    return json.dumps({"choices": [{"message": {"role": "assistant", "content": text}, **fields}]}).encode()


@contextmanager
def a_writing_endpoint(say: Say = lambda _: "") -> Iterator[Told]:
    told, open_ = Told(say), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            told.asked.append((dict(self.headers), asked))
            body = completion(told.say(asked)) if told.body is None else told.body
            self.send_response(told.status)
            for name, value in told.headers.items():
                self.send_header(name, value)
            self.end_headers()
            try:
                for at in range(0, len(body), 1 if told.drip_s else len(body)):
                    self.wfile.write(body[at : at + 1] if told.drip_s else body)
                    if told.drip_s and open_.wait(told.drip_s):
                        return
            except OSError:
                return  # who asked has gone

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    serving.start()
    try:
        yield told
    finally:
        open_.set()
        server.shutdown()
        server.server_close()
        serving.join()
