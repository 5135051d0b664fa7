"""What another user of the machine tries; runs with any Python, as that user. Reads what to try as JSON, says
what came.

`markers` are secrets and prompts of the stack: nobody may come across one.
"""

import json
import os
import socket
import sys

PATHS = (
    "/", "/ping", "/healthz", "/livez", "/live", "/ready", "/metrics", "/connz?subs=1", "/varz", "/jsz?streams=1",
    "/v1/models", "/v2", "/v2/models/stats", "/v2/models/any/ready", "/api/version", "/api/jobs/",
    "/api/cluster_status",
    "/?query=SELECT%20prompt%20FROM%20ropewalk.request", "/?user=default&query=SELECT%20prompt%20FROM%20request",
    "/?user=ropewalk&password=&query=SELECT%20prompt%20FROM%20request", "/replicas_status", "/logs/", "/nodes",
)  # fmt: skip
POSTS = ("/v2/repository/index", "/v2/repository/models/any/load", "/v2/models/any/generate", "/v1/completions")
_MOST_BYTES = 4 * 1024**2


def heard(port, request):
    """The answer to some bytes; empty where none came in time."""
    said = b""
    try:
        with socket.create_connection(("127.0.0.1", port), 2) as link:
            link.settimeout(1.0)
            link.sendall(request)
            while len(said) < _MOST_BYTES:
                more = link.recv(65536)
                if not more:
                    break
                said += more
    except OSError:
        pass
    return said


def over_http(port):
    """Every path that would tell or do something, without a key."""
    if not heard(port, b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").startswith(b"HTTP/"):
        return [[port, "bytes", heard(port, b"CONNECT {}\r\nPING\r\n").decode("latin-1")]]
    found = []
    for method, paths in (("GET", PATHS), ("POST", POSTS)):
        for path in paths:
            head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            found.append([port, f"{method} {path}", heard(port, head.encode()).decode("latin-1")])
    return found


def in_proc(pids):
    """What anybody sees of processes, and what nobody should."""
    seen = {}
    for pid in pids:
        for name in ("cmdline", "environ", "maps", "fd/0", "cwd"):
            try:
                with open(f"/proc/{pid}/{name}", "rb") as file:
                    seen[f"{pid}/{name}"] = file.read(_MOST_BYTES).decode("latin-1")
            except OSError:
                continue
    return seen


def readable(folders):
    """Every file that can be read there, with its beginning."""
    for folder in folders:
        for path, _, names in os.walk(folder):
            for name in names:
                full = os.path.join(path, name)
                try:
                    if os.path.isfile(full):
                        with open(full, "rb") as file:
                            yield full, file.read(_MOST_BYTES)
                except OSError:
                    continue


def sockets_reached(paths):
    """Of Unix sockets those that let us in; a name that begins with a zero byte is in no folder."""
    for path in paths:
        with socket.socket(socket.AF_UNIX) as link:
            try:
                link.connect(path)
            except OSError:
                continue
            yield path


def main():
    """Try everything."""
    asked = json.load(sys.stdin)
    markers = [marker.encode() for marker in asked["markers"]]
    json.dump(
        {
            "uid": os.geteuid(),
            "http": [answer for port in asked["ports"] for answer in over_http(port)],
            "proc": in_proc(asked["pids"]),
            "entered": [folder for folder in asked["private"] if os.access(folder, os.R_OK | os.X_OK)],
            "files": [
                [name, marker.decode()]
                for name, body in readable(asked["private"] + asked["shared"])
                for marker in markers
                if marker in body
            ],
            "own": [name for name, _ in readable(asked["private"])],
            "sockets": list(sockets_reached(asked["sockets"])),
        },
        sys.stdout,
    )


main()
