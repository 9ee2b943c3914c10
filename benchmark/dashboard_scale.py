"""The dashboard of a store that is full: how long each page takes, and what the store is asked, by number of viewers.

    python -m benchmark.dashboard_scale [sqlite redis mongo] [--queues 200] [--ready 1000000] [--dead 100000] [--viewers 1 20 200]

A viewer asks for the first page's live part once a second, as a browser does that shows it. Meanwhile one more person opens each page in
turn; a file that asks nothing is among them, and says what the machine does to all. Requests are those that the dashboard's process sends: calls of a connector's verbs, and round trips where there is a server.
Prints tables as docs/dashboard.md has them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import mmap
import os
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple

from benchmark.measure import metering
from benchmark.measure.places import place
from benchmark.peers.system import Store
from dashboard.full import fill_all  # type: ignore[import-not-found]  # of the tests, which have no package
from harness import servers
from harness.store import connector
from regiment.build import make_broker
from regiment.config import WorkerConfig
from regiment.contracts import OUTCOMES, Dead, Tallied, Terms
from regiment.task import Task

PART = 1000
"""Tasks of one push."""
KINDS = 40
"""Groups of the dead letters."""
SETTLED, WINDOW, LOOKS = 5.0, 20.0, 40
"""Seconds before requests are counted, and in which they are; and how often each page is opened."""
TRACE = "Traceback (most recent call last):\n" + "\n".join(
    f'  File "/srv/shop/{name}.py", line {n}, in step_{{kind}}\n    return call(self, order, attempt=attempt)'
    for n, name in enumerate(("run", "orders", "billing", "taxes", "gateway", "client", "transport", "wire"), 30)
)


class Size(NamedTuple):
    """How much is in the store."""

    queues: int
    ready: int
    dead: int


class Asked(NamedTuple):
    """What was asked in a second, on average, and how long pages took (milliseconds)."""

    verbs: float
    trips: float
    cpu: float
    """Of the dashboard's process, in percent of a core."""
    pages: dict[str, list[float]]


def fill(url: str, size: Size) -> list[str]:
    """Queues with tasks, dead letters in groups (half of them in one queue), history, hosts; and something on every other page."""
    fill_all(url)
    names = [f"queue-{n:03}" for n in range(size.queues)]
    codec = make_broker(WorkerConfig(name="x", connector=url)).codec
    keep: Any = connector(url, "keep")
    with closing(connector(url, "push")) as store, closing(keep):
        shares = [max(1, size.ready // len(names))] * len(names)
        for name, share in zip(names, shares, strict=True):
            for start in range(0, share, PART):
                part = range(start, min(start + PART, share))
                tasks = [
                    Task(f"{name}-{n}", name, "send", {"order": n, "to": "a@shop.example"}, time.time()) for n in part
                ]
                store.push(name, [codec.encode(task) for task in tasks], priority=5, token=f"{name}-{start}")
        for name in names:
            ended = [Tallied("send", tuple(10 * (outcome == "success") + 1 for outcome in OUTCOMES), 900)]
            keep.record(name, "bench", 1, ended)
        for host in range(20):
            rows = [
                {"pid": 100 + n, "queue": names[(host * 10 + n) % len(names)], "tasks": 1, "rate": 2.5}
                for n in range(10)
            ]
            keep.announce(f"h{host}-1", json.dumps({"host": f"h{host}", "pid": 1, "workers": rows}).encode(), 7200)
    some = [names[0], *names[1 : len(names) // 4 + 1]]
    bury(url, some, [size.dead // 2, *[size.dead // 2 // (len(some) - 1)] * (len(some) - 1)])
    return names


def bury(url: str, queues: Sequence[str], numbers: Sequence[int]) -> None:
    """Make tasks of these queues dead letters, as workers do."""
    with closing(connector(url, "push")) as outlet, closing(connector(url, "lease")) as store:
        for queue, number in zip(queues, numbers, strict=True):
            store.join(queue, "bench", Terms())
            turn, base, settled = 1, 1, list[Dead]()
            for start in range(0, number, PART):
                part = min(PART, number - start)
                outlet.push(queue, [b"x" * 200] * part, priority=9, token=f"dead-{queue}-{start}")
                taken = store.exchange(queue, "bench", turn, base, settled, part, 1 << 24).deliveries
                turn, base = turn + 1, base + part
                settled = [Dead(one.receipt, f"t{start + n}", reason(start + n)) for n, one in enumerate(taken)]
            store.exchange(queue, "bench", turn, base, settled, 0, 1 << 20)
            store.release(queue, "bench", (), {}, close=True)


def reason(number: int) -> bytes:
    kind = number % KINDS
    text = {
        "kind": "failure",
        "error_type": "shop.Declined",
        "error": f"order {number}: declined",
        "name": f"send_{kind}",
    }
    return json.dumps({**text, "runs": 3, "deliveries": 0, "traceback": TRACE.format(kind=kind)}).encode()


# The dashboard, in a process that counts what it asks


def serve(url: str, port: int, counts: str) -> None:
    """Serve the pages of a store; how many verbs and round trips it took stands in the file `counts`."""
    from regiment.config import as_use
    from regiment.registry import registry
    from regiment_cli.listening import taken
    from regiment_dashboard.app import Dashboard
    from regiment_dashboard.doors import LOCAL, Doors
    from regiment_dashboard.serving import serve as served

    with open(counts, "r+b") as file:
        seen = mmap.mmap(file.fileno(), 16)
    cls = registry().resolve("connectors", as_use(url))[1]
    quiet = {"open", "close", "describe", "capabilities", "extras", "warnings", "located"}
    count(cls, [name for name in dir(cls) if not name.startswith("_") and name not in quiet], seen, 0)
    if url.startswith("redis"):
        from regiment_redis.wire import FastWire, Wire

        count(Wire, ["send", "ask", "ask_all", "block"], seen, 8)
        count(FastWire, ["ask"], seen, 8)
    elif url.startswith("mongodb"):
        import pymongo.monitoring

        class Commands(pymongo.monitoring.CommandListener):
            def started(self, event: Any) -> None:
                add(seen, 8)

            def succeeded(self, event: Any) -> None: ...

            def failed(self, event: Any) -> None: ...

        pymongo.monitoring.register(Commands())
    doors = Doors(LOCAL, {}, "operator", port)
    with taken("127.0.0.1", port) as listening:
        pages = Dashboard(WorkerConfig(name="x", connector=url), "of the benchmark", "full", doors, quiet=True)
        served(pages.application(), listening, "")


def count(cls: Any, names: Sequence[str], seen: mmap.mmap, at: int) -> None:
    """Have the calls of these methods be counted, each once, whatever it calls itself."""
    import threading

    deep = threading.local()

    def counted(verb: Any) -> Any:
        def call(*args: Any, **more: Any) -> Any:
            if getattr(deep, "inside", False):
                return verb(*args, **more)
            add(seen, at)
            deep.inside = True
            try:
                return verb(*args, **more)
            finally:
                deep.inside = False

        return call

    for name in names:
        static = any(isinstance(vars(of).get(name), (staticmethod, classmethod)) for of in cls.__mro__)
        if callable(getattr(cls, name)) and not static and (at == 0 or name in vars(cls)):
            setattr(cls, name, counted(getattr(cls, name)))


def add(seen: mmap.mmap, at: int) -> None:
    struct.pack_into("=Q", seen, at, struct.unpack_from("=Q", seen, at)[0] + 1)


# Who looks


class Served:
    """The process, and what it has asked so far."""

    def __init__(self, url: str, folder: Path) -> None:
        self.port, self.file = servers.free_port(), folder / "counts"
        self.file.write_bytes(bytes(16))
        words = ["-m", "benchmark.dashboard_scale", "--serve", url, str(self.port), str(self.file)]
        self.process = subprocess.Popen([sys.executable, *words], cwd=Path(__file__).parents[1], env=dict(os.environ))
        until = time.monotonic() + 60
        while True:
            try:
                self.get("/workers")
                break
            except OSError:
                if time.monotonic() > until or self.process.poll() is not None:
                    raise
                time.sleep(0.1)

    def counts(self) -> tuple[int, int, float]:
        """Verbs and round trips, and seconds of CPU."""
        verbs, trips = struct.unpack("=QQ", self.file.read_bytes())
        return verbs, trips, metering.cpu(self.process.pid)

    def get(self, path: str) -> tuple[float, bytes]:
        """Milliseconds of a page, on a connection of its own, and the page."""
        began = time.perf_counter()
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=120)) as link:
            link.request("GET", path)
            answer = link.getresponse()
            body = answer.read()
        assert answer.status == 200, f"{path}: {answer.status}: {body[:2000]!r}"
        return 1000 * (time.perf_counter() - began), body


@contextmanager
def dashboard(url: str, folder: Path) -> Iterator[Served]:
    served = Served(url, folder)
    try:
        yield served
    finally:
        served.process.terminate()
        served.process.wait(30)


async def view(port: int, until: float) -> None:
    """One browser that shows the first page."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 22)
    tag = ""
    while time.monotonic() < until:
        head = f"GET /?fragment=1 HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept-Encoding: gzip\r\nIf-None-Match: {tag}\r\n\r\n"
        writer.write(head.encode())
        said = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        fields = dict(line.split(": ", 1) for line in said.split("\r\n")[1:] if line)
        await reader.readexactly(int(fields.get("content-length", "0")))
        tag = fields.get("etag", tag)
        await asyncio.sleep(1.0)
    writer.close()


def viewers(port: int, number: int, seconds: float) -> None:
    async def all_of_them() -> None:
        until = time.monotonic() + seconds

        async def later(n: int) -> None:
            await asyncio.sleep(n / number)
            await view(port, until)

        await asyncio.gather(*(later(n) for n in range(number)))

    asyncio.run(all_of_them())


def looked(served: Served, number: int, pages: Sequence[str], window: float, looks: int) -> Asked:
    """What so many viewers cost, and then how long pages take while they look."""
    words = ["-m", "benchmark.dashboard_scale", "--view", str(served.port), str(number)]
    crowd = subprocess.Popen([sys.executable, *words, str(24 * 3600.0)], cwd=Path(__file__).parents[1])
    try:
        time.sleep(SETTLED)
        before, began = served.counts(), time.monotonic()
        time.sleep(window)
        after, took = served.counts(), time.monotonic() - began
        found: dict[str, list[float]] = {page: [] for page in pages}
        for _ in range(looks):
            for page in pages:
                found[page].append(served.get(page)[0])
                time.sleep(0.02)
    finally:
        crowd.terminate()
        crowd.wait(30)
    verbs, trips, cpu = ((b - a) / took for a, b in zip(before, after, strict=True))
    return Asked(verbs, trips, 100 * cpu, found)


def known(served: Served, total: int, patience: float) -> float:
    """Seconds until all dead letters are counted."""
    began = time.monotonic()
    while b"Counted so far" in served.get("/dead")[1]:
        if time.monotonic() - began > patience:
            raise TimeoutError(f"not all of {total:,} dead letters were counted in {patience:g} s")
        time.sleep(0.5)
    return time.monotonic() - began


def pages_of(served: Served, queues: Sequence[str]) -> list[str]:
    """Every page there is; the group and the letter are the first ones."""
    dead = served.get("/dead")[1].decode()
    group = "/group?" + dead.split("/group?")[1].split('"')[0].replace("&amp;", "&")
    letter = "/letter?" + served.get(group)[1].decode().split("/letter?")[1].split('"')[0].replace("&amp;", "&")
    states = [f"/queue?name={queues[0]}&state={state}" for state in ("ready", "delayed", "leased")]
    flow = "/flows?queue=reports&id=nightly-1"
    return [
        "/static/style.css",
        "/",
        "/?fragment=1",
        *states,
        "/workers",
        "/dead",
        f"/dead?queue={queues[0]}",
        group,
        f"/group?queue={queues[0]}",
        letter,
        "/schedules",
        "/flows",
        flow,
        "/limits",
    ]


def p95(times: Sequence[float]) -> float:
    return sorted(times)[max(0, math.ceil(0.95 * len(times)) - 1)]


def measured(
    kind: Store, size: Size, numbers: Sequence[int], window: float = WINDOW, looks: int = LOOKS
) -> dict[int, Asked]:
    """A store of this kind, filled and looked at; prints what it finds."""
    with place(kind) as where, tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        queues = fill(where.url, size)
        print(f"{kind}: filled in {time.monotonic() - began:.0f} s", flush=True)
        with dashboard(where.url, Path(folder)) as served:
            took = known(served, size.dead, 600)
            print(f"{kind}: dead letters counted after {took:.1f} s", flush=True)
            pages = pages_of(served, queues)
            found = {number: looked(served, number, pages, window, looks) for number in numbers}
    print(f"\n| {kind}, load {os.getloadavg()[0]:.1f} | " + " | ".join(f"{n} viewers" for n in numbers) + " |")
    print("|---|" + "---|" * len(numbers))
    for name in ("verbs", "trips", "cpu"):
        unit = "CPU, % of a core" if name == "cpu" else f"{name} a second"
        print(f"| {unit} | " + " | ".join(f"{getattr(found[n], name):.1f}" for n in numbers) + " |")
    for page in pages:
        print(
            f"| {page.split('?')[0]}{'?…' if '?' in page else ''} p50, p95 (ms) | "
            + " | ".join(
                f"{sorted(found[n].pages[page])[looks // 2]:.0f}, {p95(found[n].pages[page]):.0f}" for n in numbers
            )
            + " |"
        )
    print(flush=True)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmark.dashboard_scale")
    parser.add_argument("stores", nargs="*", default=["sqlite", "redis"])
    parser.add_argument("--queues", type=int, default=200)
    parser.add_argument("--ready", type=int, default=1_000_000)
    parser.add_argument("--dead", type=int, default=100_000)
    parser.add_argument("--viewers", type=int, nargs="+", default=[1, 20, 200])
    parser.add_argument("--serve", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--view", nargs=3, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        serve(asked.serve[0], int(asked.serve[1]), asked.serve[2])
    elif asked.view:
        viewers(int(asked.view[0]), int(asked.view[1]), float(asked.view[2]))
    else:
        for kind in asked.stores:
            measured(kind, Size(asked.queues, asked.ready, asked.dead), asked.viewers)
    return 0


if __name__ == "__main__":
    sys.exit(main())
