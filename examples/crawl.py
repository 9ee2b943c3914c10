"""The class form: a crawler with retries, limits and handlers, and a small web site to crawl.

    python examples/crawl.py

The site is served by this program, so no network is needed. Its page /busy refuses the first request and is asked
again a little later; /missing is given up at once; /slow is stopped at the time limit; /gone breaks and is retried
until its retries run out. What could not be fetched is a dead letter, so the program ends with 1, as
`regiment run --burst` does:

    regiment dead list crawl --group
"""

from __future__ import annotations

import sys
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from regiment import Backoff, Task, Timeouts, Worker, WorkerConfig
from regiment_runner import Supervisor


class Crawl(Worker):
    config = WorkerConfig(
        "crawl",
        timeouts=Timeouts(1),
        max_retries=2,
        retry_on=(urllib.error.HTTPError,),
        backoff=Backoff(first=0.2, factor=2),
    )

    def initialize(self) -> None:
        """Once in each process: what all its tasks share."""
        self.seen = 0

    def work(self, task: Task) -> int:
        try:
            with urllib.request.urlopen(task.kwargs["url"]) as answer:
                return len(answer.read())
        except urllib.error.HTTPError as error:
            if error.code == 429:
                self.retry(task, delay=float(error.headers["Retry-After"]))
            if error.code == 404:
                self.fail(task, reason="no such page")
            raise

    def on_success(self, task: Task, returned_value: Any) -> None:
        print(f"{_page(task)}: {returned_value} bytes, after {task.run_count} retries", flush=True)

    def on_retry(self, task: Task) -> None:
        print(f"{_page(task)}: too busy, once more later", flush=True)

    def on_timeout(self, task: Task) -> None:
        print(f"{_page(task)}: took too long", flush=True)

    def on_dead(self, task: Task, reason: dict[str, Any]) -> None:
        print(f"{_page(task)}: given up after {reason['runs']} runs: {reason['error']}", flush=True)


def _page(task: Task) -> str:
    return "/" + str(task.kwargs["url"]).rpartition("/")[2]


class Site(BaseHTTPRequestHandler):
    """Five pages, of which one is well."""

    asked: set[str] = set()

    def do_GET(self) -> None:
        first = self.path not in self.asked
        self.asked.add(self.path)
        if self.path == "/slow":
            time.sleep(5)
        if self.path == "/busy" and first:
            self.send_response(429)
            self.send_header("Retry-After", "0.3")
        else:
            self.send_response({"/missing": 404, "/gone": 503}.get(self.path, 200))
        self.end_headers()
        self.wfile.write(b"<p>welcome</p>")

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


if __name__ == "__main__":
    # The supervisor forks, so this process must have no thread: the site runs in a process of its own.
    import multiprocessing

    site = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    served = multiprocessing.get_context("fork").Process(target=site.serve_forever, daemon=True)
    served.start()
    base = f"http://127.0.0.1:{site.server_port}"
    pages = ("index", "busy", "missing", "slow", "gone")
    print("queued", Crawl.push_many({"url": f"{base}/{page}"} for page in pages))
    here = str(Path(__file__).parent)
    code = Supervisor("crawl", workers=2, burst=True, app_dir=here).run()
    served.terminate()
    sys.exit(code)
