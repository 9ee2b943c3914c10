"""The outbox: a push is a row of its transaction, and comes to its queue exactly once, whoever is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from frameworks.test_django_project import PROJECT, Project
from frameworks.test_django_project import migrated as migrated
from harness import scale
from harness.servers import RedisServer, redis
from harness.tree import Tree
from harness.wait import alive, children, eventually
from regiment import ArgumentsError, Queue, StoreUnavailable
from regiment.contracts import Connector
from regiment_testing import capture
from regiment_testing.faults import order


class Target:
    """A target, as the steward tells a duty of it."""

    def __init__(self, queue: Queue) -> None:
        self.label, self.queue, self._queue = f"app:{queue.name}", queue.name, queue
        self.spec = {"connector": {"name": "sqlite"}}

    def connect(self) -> Connector:
        return self._queue.broker.open("duty")

    def at_work(self, seconds: float) -> tuple[()]:
        return ()


@pytest.fixture
def letters(clean: Path, tmp_path: Path) -> Iterator[Any]:
    """A queue whose pushes in transactions go by the outbox of the database."""
    from depot.tasks import count
    from django.db import connections

    from regiment_django import Django, Queue
    from regiment_django.models import Outbox
    from regiment_results import Results

    plugins = [Results(ttl=60), Django(outbox="default")]
    queue = Queue("letters", connector=f"sqlite:///{tmp_path}/queue.db", plugins=plugins)
    queue.task(count.function)
    Outbox.objects.all().delete()
    yield queue
    queue.broker.close()
    connections.close_all()


def ready(queue: Any) -> Any:
    look = queue.broker.open("look")
    try:
        return look.counts(queue.name)
    finally:
        look.close()


def relay_of(queue: Any) -> Any:
    """A relay that serves this queue, as a steward makes it."""
    from regiment_django.relay import Relay

    before = os.environ.get("DJANGO_SETTINGS_MODULE")
    relay = Relay()
    relay.learn(Target(queue), {"alias": "default", "settings": "depot_settings", "path": []})
    if before is None:
        del os.environ["DJANGO_SETTINGS_MODULE"]
    return relay


def test_a_push_in_a_transaction_is_a_row_of_it_and_is_relayed_with_all_that_belongs_to_it(letters: Any) -> None:
    from django.db import transaction

    from regiment_django.models import Outbox
    from regiment_results import handle

    count, relay = letters.tasks["count"], relay_of(letters)
    with pytest.raises(LookupError), transaction.atomic():
        count.push(things=[0])
        raise LookupError
    assert Outbox.objects.count() == 0
    with transaction.atomic():
        told = count.push(things=[1])
        count.options(delay=60, priority="HIGH").push(things=[2])
        count.push_many({"things": [number]} for number in range(3))
        count.options(now=True).push(things=[4])
    assert Outbox.objects.count() == 5 and ready(letters).ready == 1
    assert handle(letters, told.id).state() == "unknown"
    assert relay.look(0.0) == 0.0 and relay.look(0.0) > 0
    assert Outbox.objects.count() == 0
    assert (ready(letters).ready, ready(letters).delayed) == (5, 1)
    assert handle(letters, told.id).state() == "waiting", "what a plugin adds to a push comes with it"
    count.push(things=[5])
    assert ready(letters).ready == 6, "outside of a transaction a push is sent at once"


def test_a_relay_that_dies_between_push_and_delete_doubles_nothing(letters: Any) -> None:
    from django.db import transaction

    from regiment_django.models import Outbox
    from regiment_outbox import table

    with transaction.atomic():
        for number in range(3):
            letters.tasks["count"].push(things=[number])
    first = relay_of(letters)
    (shelf,) = first.shelves.values()
    with shelf.database.begin() as (run, locks):
        rows = table.claim(run, ["letters"], locks)
    shelf.push(rows[:2])
    assert ready(letters).ready == 2 and Outbox.objects.count() == 3
    relay_of(letters).look(0.0)
    assert ready(letters).ready == 3 and Outbox.objects.count() == 0


def test_large_pushes_are_read_and_relayed_some_at_a_time(letters: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from django.db import transaction

    from regiment_django.models import Outbox
    from regiment_outbox import table

    with transaction.atomic():
        for number in range(6):
            letters.tasks["count"].push(things=[number] * 1000)
    monkeypatch.setattr(table, "BYTES", 5000)
    mine, left = relay_of(letters), []
    while mine.look(0.0) == 0.0:
        left.append(Outbox.objects.count())
    assert left[0] < 6 and left[-1] == 0 and len(left) >= 2 and ready(letters).ready == 6


def test_what_an_outbox_cannot_carry_is_refused_in_words_and_capture_needs_none(letters: Any) -> None:
    from django.db import transaction

    from regiment.contracts import Drop
    from regiment_django.models import Outbox
    from regiment_django.outbox import write

    with pytest.raises(
        ArgumentsError, match="a plugin adds Drop to this push, and an outbox carries records of its own"
    ):
        write(letters.broker, "default", "letters", [], effects=[Drop(["key"])])
    with capture(letters) as queue:
        with transaction.atomic():
            letters.tasks["count"].push(things=[1])
        assert len(queue.pushed) == 1 and Outbox.objects.count() == 0


def test_a_burst_relays_what_waits_and_a_row_that_its_store_refuses_stays_with_the_reason(
    letters: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.db import transaction

    from regiment_django.models import Outbox
    from regiment_runner.worker.fetching import fetched

    with transaction.atomic():
        for number in range(3):
            letters.tasks["count"].push(things=[number])
    bad = Outbox.objects.order_by("id")[1]
    Outbox.objects.filter(id=bad.id).update(effects="[1]")
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "depot_settings")
    assert fetched(letters), "the burst goes on"
    assert not fetched(letters), "it may end"
    assert ready(letters).ready == 2
    assert Outbox.objects.get().reason.startswith("TypeError: ")


WRITER = """
import sys, time, django
django.setup()
from depot.models import Parcel
from depot.tasks import send
from django.db import transaction
last = int(sys.argv[1])
done = Parcel.objects.count()
while done < last:
    with transaction.atomic():
        for number in range(done, min(last, done + 5)):
            Parcel.objects.create(name=str(number))
            send.push(name=str(number))
    done = Parcel.objects.count()
    time.sleep(0.01)
"""


class Outage:
    """Application, relay and store of one test, each of which is killed and comes back."""

    def __init__(self, project: Project, store: RedisServer, rows: int) -> None:
        self.project, self.store, self.rows = project, store, rows
        self.environment = {
            **project.environment,
            "DEPOT_STORE": store.url,
            "DEPOT_ORDERS": str(project.folder / "orders"),
            "DEPOT_OUTBOX": "default",
            "DJANGO_SETTINGS_MODULE": "depot_settings",
        }
        self.writer: subprocess.Popen[bytes] | None = None

    def tree(self, number: int) -> Tree:
        runtime = self.project.folder / f"run{number}"
        runtime.mkdir(mode=0o700)
        return Tree(
            PROJECT,
            runtime,
            ["depot.tasks:parcels"],
            self.project.folder / f"log{number}",
            environment={**self.environment, "XDG_RUNTIME_DIR": str(runtime)},
        )

    def write(self) -> bool:
        """Keep a writer running; True if all is written."""
        if self.writer is not None and self.writer.poll() == 0:
            return True
        if self.writer is None or self.writer.poll() is not None:
            command = [sys.executable, "-c", WRITER, str(self.rows)]
            self.writer = subprocess.Popen(command, cwd=PROJECT, env=self.environment)
        return False

    def kill_writer(self) -> None:
        if self.writer is not None and self.writer.poll() is None:
            self.writer.kill()
            self.writer.wait()

    def kill_relay(self, tree: Tree) -> None:
        """The steward, and with it, as nothing tells them apart from outside, the keeper."""
        workers = set(tree.workers())
        for pid in children(tree.pid):
            if pid not in workers and alive(pid):
                os.kill(pid, signal.SIGKILL)

    def kill_store(self) -> None:
        self.store.kill()
        time.sleep(0.3)  # that everybody meets it
        self.store.start()


def counted(look: Connector) -> int:
    """How many are ready; 0 while the store is not there."""
    try:
        return look.counts("parcels").ready
    except StoreUnavailable:
        return 0


@pytest.mark.fault(84)
def test_each_row_comes_to_its_queue_exactly_once_under_kills_of_application_relay_and_store(
    migrated: Path, tmp_path: Path
) -> None:
    import shutil

    shutil.copy(migrated / "default.db", tmp_path)
    rows, kills, pause = scale.size(1000, 10_000), scale.size(6, 40), scale.size(1, 3)
    random = Random(scale.FIRST_SEED)
    with redis() as server:
        outage = Outage(Project(tmp_path), server, rows)
        queue = Queue("parcels", connector=server.url)
        look = queue.broker.open("look")
        look.post("parcels", paused=True)
        trees = [outage.tree(number) for number in range(2)]
        try:
            for tree in trees:
                tree.ready(1, 60)
            orders = []
            for number in range(kills):
                outage.write()
                # Only relays push here: the one that does so next dies before the store knows, or before itself knows.
                orders.append(order(tmp_path / "orders", "push", ("killed", "lost", "unsent", "twice")[number % 4]))
                time.sleep(pause * random.uniform(0.1, 0.8))
                print(f"{number}: {counted(look)} rows in their queue")
                (outage.kill_writer, lambda: outage.kill_relay(random.choice(trees)), outage.kill_store)[number % 3]()
            eventually(outage.write, 300, lambda: trees[0].text()[-3000:])
            left = "from regiment_django.models import Outbox; print(Outbox.objects.count())"
            eventually(lambda: counted(look) >= rows, 120, lambda: trees[0].text()[-3000:])
            eventually(lambda: outage.project.shell(left) == "0", 60)
            assert counted(look) == rows
            names = [
                queue.broker.codec.decode(one.payload, "parcels").kwargs["name"]
                for one in look.peek("parcels", "ready", rows + 10)
            ]
            assert sorted(map(int, names)) == list(range(rows))
            print(f"obeyed: {[path.name for path in orders if not path.exists()]}")
            assert not orders[0].exists(), "a relay died between push and delete"
        finally:
            outage.kill_writer()
            for tree in trees:
                tree.kill()
            look.close()
            queue.broker.close()
