"""A web endpoint that starts work and tells its result: at once, by polling, or by waiting.

    python examples/web.py

starts a worker and a server on a free port, and then is its own client: it starts a slow sum, asks for its state, waits for
its result, and lets a wrong one fail. By hand, with the server of your choice: POST what starts the task answers with its id,
and any process can ask `handle(queue, id)` for it later.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from regiment_results import ResultGone, ResultQueue, Results, ResultTimeout, TaskFailed

sums = ResultQueue("sums", plugins=[Results(ttl=600)])


@sums.task
def add(numbers: list[int]) -> int:
    time.sleep(0.5)
    return sum(numbers)


class Endpoint(BaseHTTPRequestHandler):
    """POST /sums starts one; GET /sums/ID tells its state, GET /sums/ID?wait=10 its result, waited for up to 10 seconds."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        started = add.push(numbers=json.loads(body))
        self._answer(202, {"id": started.id})

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        handle = sums.handle(url.path.rpartition("/")[2])
        wait = parse_qs(url.query).get("wait")
        if wait is None:
            self._answer(200, {"state": handle.state()})
            return
        try:  # a thread that waits costs no polling: one listener serves them all
            self._answer(200, {"state": "success", "result": handle.result(timeout=min(30.0, float(wait[0])))})
        except ResultTimeout:
            self._answer(202, {"state": handle.state()})
        except ResultGone:
            self._answer(404, {"state": "unknown"})
        except TaskFailed as failed:
            self._answer(200, {"state": handle.state(), "error": f"{failed.type}: {failed.message}"})

    def _answer(self, code: int, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(code)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def ask(url: str, data: object = None) -> dict[str, Any]:
    """What the endpoint answers."""
    body = None if data is None else json.dumps(data).encode()
    try:
        with urllib.request.urlopen(url, body, timeout=60) as answer:  # noqa: S310  our own server
            return dict(json.load(answer))
    except urllib.error.HTTPError as error:
        return dict(json.load(error))


def main() -> None:
    here = str(Path(__file__).parent)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_port}/sums"
    worker = subprocess.Popen([sys.executable, "-m", "regiment", "run", "web:sums", "--app-dir", here])
    try:
        started = ask(base, [1, 2, 3])
        print("polled:", ask(f"{base}/{started['id']}"))
        print("waited:", ask(f"{base}/{started['id']}?wait=30"))
        wrong = ask(base, [1, "two"])
        print("failed:", ask(f"{base}/{wrong['id']}?wait=30"))
        print("unknown:", ask(f"{base}/never?wait=30"))
    finally:
        worker.terminate()
        worker.wait()
        server.shutdown()


if __name__ == "__main__":
    main()
