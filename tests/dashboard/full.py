"""A store in which everything is that a page can show."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any

from dashboard.conftest import fill
from harness.store import connector
from regiment import Queue
from regiment.contracts import Keep, Record, Terms
from regiment_cli.release import Release
from regiment_limits import Lane, Limits, Pool
from regiment_limits.budgets import rules_of
from regiment_limits.ruling import settle
from regiment_schedules import Schedules, schedules
from regiment_schedules.records import Row, row_key
from regiment_workflows import FlowQueue, Workflows, flow, group

LIMITS = Limits(pools={"crm": Pool(at_once=2, rate="10/m", lane=Lane(at_once=1)), "sms": Pool(at_once=5)})
PAGES = (
    "/",
    "/queue?name=mail",
    "/queue?name=crawl&state=leased",
    "/workers",
    "/dead",
    "/group?queue=mail",
    "/letter?queue=mail&id=t1",
    "/schedules",
    "/flows",
    "/flows?queue=reports&id=nightly-1",
    "/limits",
    "/tasks",
    "/audit",
    "/doctor",
    "/sign-in",
    "/nothing",
)
"""Every page there is, and what is said where there is none."""


def nap(**_: Any) -> None: ...


def double(n: int = 1) -> int:
    return 2 * n


def fetch(tenant: str, n: int) -> None: ...


def fill_all(url: str) -> None:
    """Tasks, letters, workers, schedules of which one is late and one is paused, flows, limits that are full and closed."""
    fill(url, ready=12, dead=30)
    _workers(url)
    _schedules(url)
    _flows(url)
    _limits(url)


def _workers(url: str) -> None:
    store: Any = connector(url, "keep")
    with contextlib.closing(store):
        for host in ("web1", "web2"):
            queues, now = ("mail", "reports"), time.time()
            rows = [
                {"pid": 4100 + n, "queue": queues[n % 2], "tasks": 1000 * n, "rate": 12.5, "target": n % 2, "now": []}
                | {"state": "idle", "memory": 48 + n, "cpu": 12 * n, "since": now - 7200 + n}
                for n in range(4)
            ]
            rows[1] |= {"state": "busy", "now": [{"task": "import", "id": "m-17", "since": now - 75}]}
            targets = [
                {"label": f"shop:{queue}", "queue": queue, "code": f"{n}9c2e7f4", "since": now - 7200, "tasks": None}
                | {"reads": None, "ends": {"memory": 2} if n else {}}
                for n, queue in enumerate(queues)
            ]
            record = {"host": host, "pid": 4000, "release": "2026-11-30", "workers": rows, "targets": targets}
            record |= {"regiment": "0.2.0", "python": "3.12.4", "since": now - 7200}
            store.announce(f"{host}-4000", json.dumps(record).encode(), 3600)


def _schedules(url: str) -> None:
    plan = schedules(Queue("mail", connector=url, plugins=[Schedules()]))
    task = Queue("mail", connector=url, plugins=[Schedules()]).task(nap)
    for name, when in (("digest", "0 9 * * mon-fri"), ("cleanup", "30 2 * * *"), ("yearly", "0 0 1 1 *")):
        plan.add(name, task, when, tz="Europe/Berlin")
    plan.add("often", task, every=5.0)
    plan.pause("yearly")
    make_late(url, "often", 600)


def make_late(url: str, name: str, seconds: float) -> None:
    """As if nothing had been fired for so long."""
    store: Any = connector(url, "push")
    with contextlib.closing(store):
        record: Record = store.records("mail", [row_key(name)])[0]
        row = Row(name, record.version, record.value)
        changed = Keep(row_key(name), row.keep(last=row.last - seconds).value, None, record.rank + 1)
        store.apply("mail", [changed], token=f"late-{name}-{time.time()}")


def _flows(url: str) -> None:
    queue = FlowQueue("reports", connector=url, plugins=[Workflows()])
    task = queue.task(double)
    for number in (1, 2):
        with flow("nightly") as made:
            rows = made.add(group(task.s(n=n) for n in range(30)), name="rows")
            first = made.add(task.s(n=1), name="exchange rates")
            ok = made.gate("approval")
            last = made.add(task.s(n=1), name="import", after=[rows, first, ok])
            made.add(task.s(n=1), name="mail the report", after=[last])
        run = made.start(id=f"nightly-{number}")
        if number == 2:
            run.cancel()


def _limits(url: str) -> None:
    queue = Queue("crawl", connector=url, plugins=[LIMITS])
    task = queue.task(pool="crm", lane="{tenant}", unique="{tenant}-{n}")(fetch)
    for tenant in ("acme", "umbrella"):
        for n in range(4):
            task.push(tenant=tenant, n=n)
    store: Any = connector(url, "lease")
    with contextlib.closing(store):
        settle(store, "crawl", rules_of(LIMITS.options), Release("1", 1.0, "web1:1"))
        store.gate("crawl", ("sms", ""), 3600.0)
        store.join("crawl", "web1-4101", Terms(slots=10))
        store.exchange("crawl", "web1-4101", 1, 1, (), 2, 1 << 20)
