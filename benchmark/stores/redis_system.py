"""The whole system on Redis: supervised, at least once, a time limit armed, msgpack; beside bare loops in the same run.

    python -m benchmark.stores.redis_system [tasks] [push] [idle] [wake] [delayed] [upkeep] [--scale 1.0]

Each function returns figures and prints nothing. CPU is that of processes (`schedstat`, so nanoseconds), in µs per task: of the
whole tree (supervisor, keeper, workers) and of redis-server. The bare loop does everything but the framework: decode, task
object, note and deadline into shared memory, call, finished mark, and one script per batch that checks the fence, settles
all, looks for due tasks and leases the next. Absolute times drift with the machine and its load: the ratios count.
"""

from __future__ import annotations

import argparse
import mmap
import os
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import hiredis
import msgpack
import redis as redis_py

from harness.servers import RedisServer, redis
from regiment import Timeouts, Worker, WorkerConfig
from regiment.contracts import Terms
from regiment_redis.connector import RedisConnector
from regiment_redis.waiting import LATE

QUEUE = "noop"
_unpackb = msgpack.unpackb
APP = """
import os, time
from regiment import Timeouts, Worker, WorkerConfig

SEEN = os.environ.get("BENCH_SEEN")


class Noop(Worker):
    config = WorkerConfig(
        {queue!r}, connector={url!r}, tasks_per_transaction={batch}, timeouts=Timeouts(30)
    )
    # The work of a latency run is to say when it began.
    if SEEN:
        def initialize(self):
            self.seen = os.open(SEEN, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

        def work(self, task):
            now = time.monotonic_ns()
            os.write(self.seen, b"%d\\n" % now)
    else:
        def work(self, task):
            pass
"""
RUN = "import sys; from regiment_runner import Supervisor; sys.exit(Supervisor('app:Noop', workers=int(sys.argv[1])).run())"
BARE = b"""
if redis.call('ZSCORE', KEYS[1], ARGV[1]) == false then return 0 end
if ARGV[3] ~= '0' then redis.call('DEL', KEYS[2] .. ARGV[3]) end
local now = redis.call('TIME')
local due = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now[1], 'LIMIT', 0, 100)
local got = redis.call('LPOP', KEYS[4], ARGV[4])
if not got then return {due} end
redis.call('RPUSH', KEYS[2] .. ARGV[2], unpack(got))
return {due, got}
"""


class Cost(NamedTuple):
    """CPU µs for each task of the client (of ours: of the whole tree) and of the server, and tasks/s by the clock."""

    client: float
    server: float
    rate: float


class Tasks(NamedTuple):
    """One batch size: the bare loop, ours, and the requests of the worker for each batch that it leased."""

    batch: int
    workers: int
    bare: Cost
    ours: Cost
    requests: float


class Idle(NamedTuple):
    """An idle worker, per second: commands at the server, CPU ms of the worker, of the whole tree, of the server."""

    commands: float
    worker: float
    tree: float
    server: float


class Wake(NamedTuple):
    """ms from before a push to the first statement of its task, and from a raw RPUSH to the end of a BLPOP elsewhere."""

    p50: float
    p99: float
    bare_p50: float
    bare_p99: float


class Delayed(NamedTuple):
    """Many idle workers and one delayed task: ms after its due time at which it began; scripts for each worker."""

    late: float
    scripts: float


# Parts


class Page:
    """What a worker writes for each task."""

    def __init__(self) -> None:
        self._map = mmap.mmap(-1, 4096)
        self._note = struct.Struct("<QQQ").pack_into
        self._mark = struct.Struct("<Q").pack_into

    def begin(self, number: int, deadline: int) -> None:
        self._note(self._map, 0, deadline, deadline, number << 3 | 1)

    def end(self, number: int) -> None:
        self._mark(self._map, 16, number << 3 | 5)


class Job:
    """A task object of the bare loop."""

    __slots__ = ("date", "id", "kwargs", "name")

    def __init__(self, id: str, name: str, kwargs: dict[str, Any], date: float) -> None:
        self.id, self.name, self.kwargs, self.date = id, name, kwargs, date


def no_op(job: Job) -> None:
    """The user's function."""


def run_one(page: Page, number: int, payload: bytes) -> None:
    """One task of the bare loop."""
    id, name, kwargs, date = _unpackb(payload)
    job = Job(id, name, kwargs, date)
    page.begin(number, time.monotonic_ns() + 30_000_000_000)
    no_op(job)
    page.end(number)


def record(number: int) -> bytes:
    """A task as small as ours."""
    packed: bytes = msgpack.packb((f"01jd3k7q9zx4w8yc2m-{number:x}", "greet", {"n": number}, 1.7e9))
    return packed


def cpu(pid: int) -> float:
    """Seconds of CPU that a process has used."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def children(pid: int) -> list[int]:
    """Processes that a process has started."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in found.split()]


class Tree:
    """A supervisor with workers of the no-op application, ready when made."""

    def __init__(self, server: RedisServer, batch: int, workers: int, seen: str = "") -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="regiment-bench-")
        self.server, self.workers = server, workers
        Path(self._folder.name, "app.py").write_text(APP.format(queue=QUEUE, url=server.url, batch=batch))
        env = {**os.environ, "BENCH_SEEN": seen, "XDG_RUNTIME_DIR": self._folder.name}
        with open(Path(self._folder.name, "log"), "wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", RUN, str(workers)],
                cwd=self._folder.name,
                env=env,
                stderr=log,
                stdout=log,
            )
        self.store = RedisConnector(server.url)
        self.store.open("look")
        self.config = WorkerConfig(QUEUE, connector=server.url, timeouts=Timeouts(30))
        self.pusher: Any = type("Noop", (Worker,), {"config": self.config, "work": lambda *_: None})
        self.until(lambda: self.store.counts(QUEUE).consumers == workers, "workers ready")
        time.sleep(1.0)

    def until(self, done: Callable[[], bool], what: str, seconds: float = 120.0) -> None:
        """Wait, with little load on the server."""
        end = time.monotonic() + seconds
        while not done():
            if time.monotonic() > end or self.process.poll() is not None:
                log = Path(self._folder.name, "log").read_text()[-2000:]
                raise RuntimeError(f"waited {seconds} s for: {what}\n{log}")
            time.sleep(0.05)

    def idle(self) -> bool:
        """Whether nothing waits and nothing runs."""
        counts = self.store.counts(QUEUE)
        return counts.ready + counts.leased == 0

    def cpu(self) -> dict[int, float]:
        """CPU seconds of its processes so far."""
        return {pid: cpu(pid) for pid in (self.process.pid, *children(self.process.pid))}

    def close(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)
        self.store.close()
        self._folder.cleanup()


@contextmanager
def tree(server: RedisServer, batch: int, workers: int = 1, seen: str = "") -> Iterator[Tree]:
    """A tree that ends with the block."""
    made = Tree(server, batch, workers, seen)
    try:
        yield made
    finally:
        made.close()


SENT = ("evalsha", "blpop", "client", "ping", "info", "role", "script")
"""Commands that only come from outside; the others are also called by scripts, which INFO does not tell apart."""


def calls(server: RedisServer, *names: str) -> int:
    """How often the server has run these commands."""
    text = server.ask("INFO", "commandstats")
    assert isinstance(text, bytes)
    total = 0
    for line in text.decode().splitlines():
        name, _, rest = line.removeprefix("cmdstat_").partition(":calls=")
        if name in names:
            total += int(rest.partition(",")[0])
    return total


# Figures


class Bare:
    """The bare loop on its own connection."""

    def __init__(self, server: RedisServer) -> None:
        self.server = server
        self.client = redis_py.Redis(port=server.port, protocol=2)
        connection: Any = self.client.connection_pool.get_connection()
        self.sock: Any = connection._sock
        self.sock.settimeout(None)
        self._connection = connection
        self.client.zadd("{b}:consumers", {"me": 1})
        self.sha = self.client.script_load(BARE)
        self.page = Page()

    def run(self, tasks: int, batch: int) -> Cost:
        """Work off so many tasks."""
        for start in range(0, tasks, 1000):
            self.client.rpush("{b}:ready", *map(record, range(start, start + 1000)))
        server, client, wall = cpu(self.server.pid), time.process_time(), time.perf_counter()
        done = self._loop(batch)
        client, wall = time.process_time() - client, time.perf_counter() - wall
        server = cpu(self.server.pid) - server
        assert done == tasks
        return Cost(client / done * 1e6, server / done * 1e6, done / wall)

    def _loop(self, batch: int) -> int:
        sock, reader = self.sock, hiredis.Reader()
        pack: Any = hiredis.pack_command
        page, base, before, done = self.page, 1, "0", 0
        buffer: Any = bytearray(65_536)
        keys = ("{b}:consumers", "{b}:held:", "{b}:due", "{b}:ready")
        while True:
            sock.sendall(pack(("EVALSHA", self.sha, 4, *keys, "me", base, before, batch)))
            while True:
                reader.feed(buffer, 0, sock.recv_into(buffer))
                reply: Any = reader.gets()
                if reply is not False:
                    break
            if len(reply) < 2:
                return done
            before = str(base)
            for payload in reply[1]:
                run_one(page, base, payload)
                base += 1
                done += 1


def work_off(made: Tree, tasks: int, batch: int) -> tuple[Cost, float]:
    """Let a tree work off so many tasks that were all there before it began; its cost, and requests per batch."""
    server = made.server
    made.store.post(QUEUE, paused=True)
    made.pusher.push_many({"n": n} for n in range(tasks))
    time.sleep(0.2)
    scripts, before, wall = calls(server, "evalsha"), made.cpu(), time.perf_counter()
    on_server = cpu(server.pid)
    made.store.post(QUEUE, paused=False)
    looks = 0

    def done() -> bool:
        nonlocal looks
        looks += 1
        return made.idle()

    made.until(done, f"{tasks} tasks done")
    wall, on_server = time.perf_counter() - wall, cpu(server.pid) - on_server
    after = made.cpu()
    used = sum(after[pid] - before.get(pid, 0.0) for pid in after)
    scripts = calls(server, "evalsha") - scripts - looks
    cost = Cost(used / tasks * 1e6, on_server / tasks * 1e6, tasks / wall)
    return cost, scripts / (tasks / batch)


def tasks(server: RedisServer, batch: int, many: int, workers: int = 1, rounds: int = 3) -> Tasks:
    """The median of some rounds, in turn with the bare loop (of one process) at the same batch size."""
    bare, ours, requests = [], [], []
    loop = Bare(server)
    with tree(server, batch, workers) as made:
        work_off(made, many // 10, batch)
        for _ in range(rounds):
            bare.append(loop.run(many, batch))
            cost, count = work_off(made, many, batch)
            ours.append(cost)
            requests.append(count)

    def middle(costs: list[Cost]) -> Cost:
        return Cost(*(statistics.median(column) for column in zip(*costs, strict=True)))

    return Tasks(batch, workers, middle(bare), middle(ours), statistics.median(requests))


def push(server: RedisServer, many: int, bulk: int = 1) -> tuple[Cost, Cost]:
    """redis-py's RPUSH of ready bytes, and our push: encode, check, one request; `bulk` tasks each time."""
    client = redis_py.Redis(port=server.port, protocol=2)
    config = WorkerConfig("pushed", connector=server.url)
    pusher: Any = type("Pushed", (Worker,), {"config": config, "work": lambda *_: None})
    pusher.push(n=0)
    payloads = [record(n) for n in range(bulk)]

    def raw() -> None:
        client.rpush("raw", *payloads)

    def ours() -> None:
        if bulk == 1:
            pusher.push(n=1)
        else:
            pusher.push_many([{"n": n} for n in range(bulk)])

    found: list[list[Cost]] = [[], []]
    for _ in range(3):
        for costs, verb in zip(found, (raw, ours), strict=True):
            on_server, used, wall = cpu(server.pid), time.process_time(), time.perf_counter()
            for _ in range(many // bulk):
                verb()
            used, wall = time.process_time() - used, time.perf_counter() - wall
            on_server = cpu(server.pid) - on_server
            costs.append(Cost(used / many * 1e6, on_server / many * 1e6, many / wall))
        client.delete("raw")
        RedisConnector(server.url).purge("pushed")
    first, second = (sorted(costs)[1] for costs in found)
    return first, second


def idle(server: RedisServer, seconds: float = 20.0, windows: int = 3) -> Idle:
    """The least of some windows: what others do on the machine only adds."""
    found = []
    with tree(server, 1) as made:
        made.pusher.push(n=0)
        made.until(made.idle, "a task done")
        worker = max(children(made.process.pid))
        time.sleep(2)
        for _ in range(windows):
            commands, before, on_server = calls(server, *SENT), made.cpu(), cpu(server.pid)
            began = time.monotonic()
            time.sleep(seconds)
            took = time.monotonic() - began
            after, on_server = made.cpu(), cpu(server.pid) - on_server
            used = {pid: 1000 * (after[pid] - before[pid]) / took for pid in after}
            found.append(
                Idle(
                    (calls(server, *SENT) - 1 - commands) / took,
                    used[worker],
                    sum(used.values()),
                    1000 * on_server / took,
                )
            )
    return min(found, key=lambda one: one.worker)


def wake(server: RedisServer, pushes: int = 1000) -> Wake:
    """Pushes to a worker that waits, one after the other."""
    with tempfile.TemporaryDirectory() as folder:
        seen = Path(folder, "seen")
        with tree(server, 1, seen=str(seen)) as made:
            for warm in range(20):
                made.pusher.push(n=warm)
            made.until(made.idle, "the first tasks done")
            seen.write_bytes(b"")
            sent = []
            for n in range(pushes):
                sent.append(time.monotonic_ns())
                made.pusher.push(n=n)
                while seen.read_bytes().count(b"\n") <= n:
                    time.sleep(0.001)
                time.sleep(0.003)
        began = [int(line) for line in seen.read_text().split()]
    ours = sorted((b - s) / 1e6 for b, s in zip(began, sent, strict=True))
    bare = sorted(_bare_wake(server, pushes))
    return Wake(
        statistics.median(ours),
        ours[int(pushes * 0.99)],
        statistics.median(bare),
        bare[int(pushes * 0.99)],
    )


_POP = """
import sys, time, redis
client = redis.Redis(port=int(sys.argv[1]), socket_timeout=60)
print("ready", flush=True)
while client.blpop("w")[1] != b"end":
    print(time.monotonic_ns(), flush=True)
"""


def _bare_wake(server: RedisServer, pushes: int) -> list[float]:
    client = redis_py.Redis(port=server.port)
    other = subprocess.Popen([sys.executable, "-c", _POP, str(server.port)], stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    other.stdout.readline()
    found = []
    for _ in range(pushes):
        sent = time.monotonic_ns()
        client.rpush("w", b"x")
        found.append((int(other.stdout.readline()) - sent) / 1e6)
        time.sleep(0.003)
    client.rpush("w", b"end")
    other.wait(10)
    return found


def delayed(server: RedisServer, workers: int = 64, delay: float = 2.0) -> Delayed:
    """How late one delayed task starts in a crowd of idle workers, and what its coming costs."""
    with tempfile.TemporaryDirectory() as folder:
        seen = Path(folder, "seen")
        with tree(server, 1, workers, str(seen)) as made:
            time.sleep(6)  # the burst of the start is over
            due = time.monotonic_ns() + int(delay * 1e9)
            before = calls(server, "evalsha")
            made.pusher.options(delay=delay).push(n=0)
            made.until(lambda: seen.exists() and seen.stat().st_size > 0, "the delayed task")
            time.sleep(0.1)
            scripts = calls(server, "evalsha") - before
            return Delayed((int(seen.read_text().split()[0]) - due) / 1e6, scripts / workers)


def upkeep(
    server: RedisServer,
    consumers: int = 1000,
    per_tree: int = 8,
    seconds: float = 30.0,
    lease: float = 30.0,
    recheck: float = 5.0,
) -> float:
    """Percent of a core that redis-server uses for idle consumers: their waits, their exchanges every `recheck`, renewals.

    Each consumer has its own lease and its own connections; a keeper renews those of a tree every third of a lease.
    """
    stores = []
    for n in range(consumers):
        store = RedisConnector(server.url)
        store.open("push")
        if n == 0:
            store.push("upkeep", [b""], priority=1, token="first")
            store.purge("upkeep")
        store.join("upkeep", f"c{n}", Terms(lease=lease))
        store.exchange("upkeep", f"c{n}", 1, 1, [], 1, 1 << 20)
        stores.append(store)
    keeper = RedisConnector(server.url)
    trees = [
        [("upkeep", f"c{n}") for n in range(start, min(start + per_tree, consumers))]
        for start in range(0, consumers, per_tree)
    ]
    period = recheck + LATE  # the server ends a wait somewhat late
    stop = time.monotonic() + seconds + period
    used: list[float] = []

    def mind() -> None:
        step, next_at, n = lease / 3 / len(trees), time.monotonic(), 0
        while time.monotonic() < stop:
            keeper.renew(trees[n % len(trees)], lease)
            n, next_at = n + 1, next_at + step
            time.sleep(max(0.0, next_at - time.monotonic()))

    minder = threading.Thread(target=mind)
    minder.start()
    began, before, turn = time.monotonic(), 0.0, 1
    while time.monotonic() < stop:
        # What `wait` and the exchange after it do, for all consumers in turn; the first round only starts the waits.
        turn += 1
        for n, store in enumerate(stores):
            watch = store._store.watch  # type: ignore[union-attr]
            if turn > 2:
                watch.end()  # it has ended by itself
                store.exchange("upkeep", f"c{n}", turn - 1, 1, [], 1, 1 << 20)
            watch.begin(["regiment:{upkeep}:wake"], recheck)
            left = began + period * (turn - 2 + (n + 1) / consumers) - time.monotonic()
            time.sleep(max(0.0, left))
        if turn == 2:
            before, started = cpu(server.pid), time.monotonic()
    used.append(100 * (cpu(server.pid) - before) / (time.monotonic() - started))
    minder.join()
    for store in stores:
        store.close()
    keeper.close()
    return used[0]


# The page


def print_tasks(server: RedisServer, scale: float) -> None:
    print(
        "CPU us per task (tree / server)    bare            ours            ratio    tasks/s bare -> ours    requests"
    )
    for batch, many, workers in ((1, 10_000, 1), (100, 100_000, 1), (1000, 200_000, 1), (1000, 200_000, 2)):
        f = tasks(server, batch, max(int(many * scale) // batch * batch, 1000), workers)
        print(
            f"batch {batch:>4}, workers {workers}       {f.bare.client:>8.2f} /{f.bare.server:>6.2f}"
            f"{f.ours.client:>9.2f} /{f.ours.server:>6.2f}{f.ours.client / f.bare.client:>8.2f} /"
            f"{f.ours.server / f.bare.server:>5.2f}{f.bare.rate:>13,.0f} ->{f.ours.rate:>9,.0f}  {f.ours.rate / f.bare.rate:.2f}"
            f"{f.requests:>8.2f}"
        )


def print_push(server: RedisServer, scale: float) -> None:
    for bulk, many in ((1, 10_000), (1000, 100_000)):
        raw, ours = push(server, max(int(many * scale), 1000), bulk)
        print(
            f"push {bulk:>5}: redis-py {raw.client:.2f} / {raw.server:.2f}, ours {ours.client:.2f} / {ours.server:.2f} "
            f"us; ratio {ours.client / raw.client:.2f} / {ours.server / raw.server:.2f}"
        )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    every = ("tasks", "push", "idle", "wake", "delayed", "upkeep")
    options.add_argument("what", nargs="*", default=every, metavar="|".join(every))
    options.add_argument("--scale", type=float, default=1.0)
    chosen = options.parse_args()
    with redis("--maxclients", "10000") as server:
        for what in chosen.what:
            if what == "tasks":
                print_tasks(server, chosen.scale)
            elif what == "push":
                print_push(server, chosen.scale)
            elif what == "idle":
                i = idle(server)
                print(
                    f"idle worker, per second: {i.commands:.2f} commands (goal 1), worker {i.worker:.2f} ms CPU (goal "
                    f"0.3), tree {i.tree:.2f} ms, server {i.server:.2f} ms"
                )
            elif what == "wake":
                w = wake(server, int(1000 * chosen.scale))
                print(
                    f"push to first statement: p50 {w.p50:.2f} ms, p99 {w.p99:.2f} ms (goals 0.6, 1.5); raw RPUSH to "
                    f"BLPOP {w.bare_p50:.2f}, {w.bare_p99:.2f}"
                )
            elif what == "delayed":
                d = delayed(server)
                print(
                    f"64 idle workers, one delayed task: began {d.late:.1f} ms after it was due (goal 50), "
                    f"{d.scripts:.2f} scripts for each worker (goal 2)"
                )
            elif what == "upkeep":
                print(f"1,000 idle consumers: {upkeep(server):.2f} % of a core (goal 3)")
            else:
                options.error(f"{what!r} is none of {', '.join(every)}")


if __name__ == "__main__":
    main()
