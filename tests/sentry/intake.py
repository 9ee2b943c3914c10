"""The wire end of Sentry: an HTTP server that takes envelopes and keeps what is in them."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Intake:
    """What was sent to it, in the order of its arrival. `dsn` names it; while `slow` is set it does not answer."""

    def __init__(self) -> None:
        self.items: list[tuple[str, dict[str, Any]]] = []
        self.slow = threading.Event()
        self.over = threading.Event()
        self.port = 0

    @property
    def dsn(self) -> str:
        return f"http://public@127.0.0.1:{self.port}/1"

    def of(self, kind: str) -> list[dict[str, Any]]:
        """All items of a kind: event, transaction, check_in."""
        return [item for one, item in self.items if one == kind]

    def take(self, envelope: bytes) -> None:
        """Keep what is in an envelope: a line for itself, then for each item a line and what it announces."""
        _, _, rest = envelope.partition(b"\n")
        while rest.strip():
            head, _, rest = rest.partition(b"\n")
            about = json.loads(head)
            length = about.get("length")
            body, rest = (rest[:length], rest[length + 1 :]) if length is not None else rest.partition(b"\n")[::2]
            self.items.append((about["type"], json.loads(body)))


@contextmanager
def intake() -> Iterator[Intake]:
    """A running one."""
    made = Intake()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            assert self.path == "/api/1/envelope/" and "sentry_key=public" in self.headers["X-Sentry-Auth"]
            if made.slow.is_set():
                made.over.wait(300)
                return
            made.take(body)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    made.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield made
    finally:
        made.over.set()
        server.shutdown()
        server.server_close()
        thread.join()
