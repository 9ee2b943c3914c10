"""Who serves which queue, according to the records that keepers leave in the store."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, cast

from regiment.broker import extras
from regiment.contracts import STEER, Connector, Counts, Steered


class Target(NamedTuple):
    """What the workers of one target are, of one state of its code."""

    label: str
    queue: str
    code: str
    """A print of its sources; two that differ are of different code. Empty if it is not told."""
    since: float
    """When its tree saw it first, in seconds since the epoch."""
    tasks: frozenset[str] | None
    """The names that it knows; None if these are not told, as of a worker that takes any."""
    reads: frozenset[str] | None
    """The serializers that it has; None if these are not told."""
    ends: Mapping[str, int]
    """How many of its workers ended in the last hour, by kind."""
    workers: int
    """How many it has now."""


class Tree(NamedTuple):
    """A supervisor with its workers."""

    host: str
    pid: int
    workers: dict[int, str]
    """Pid of each worker -> its queue."""
    rates: dict[str, float]
    """Queue -> tasks that its workers end a second."""
    regiment: str = ""
    """Its release of regiment; empty if it is one that does not tell."""
    plugins: frozenset[str] = frozenset()
    targets: Sequence[Target] = ()
    ended: Mapping[str, int] = MappingProxyType({})
    """Queue -> how many tasks its workers have ended since they started."""

    @property
    def name(self) -> str:
        """As people and orders name it."""
        return f"{self.host}:{self.pid}"

    @property
    def orders(self) -> tuple[str, str]:
        """The names under which it is given orders: its host's and its own."""
        return f"host:{self.host}", f"tree:{self.name}"

    def number(self, queue: str) -> int:
        """How many of its workers serve a queue."""
        return sum(one == queue for one in self.workers.values())


def lives(pid: int) -> bool:
    """True if a process of this host is there."""
    return os.path.exists(f"/proc/{pid}")


def stands_still(pid: int) -> bool:
    """True if a process of this host is stopped or traced."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] in (b"T", b"t")
    except (OSError, IndexError):
        return False


def counts_of(connector: Connector, queues: Sequence[str]) -> dict[str, Counts]:
    """The counts of these queues, in as few requests as the store allows."""
    if STEER in extras(connector):
        return dict(zip(queues, cast("Steered", connector).counts_many(queues), strict=True))
    return {name: connector.counts(name) for name in queues}


def trees(connector: Connector) -> list[Tree]:
    """The living trees."""
    return trees_of(connector.presence().values())


def trees_of(records: Iterable[bytes]) -> list[Tree]:
    """The living trees, of the records that their keepers have left."""
    found: list[Tree] = []
    here = os.uname().nodename
    for data in records:
        try:
            record = json.loads(data)
            host, pid = str(record["host"]), int(record["pid"])
            if host == here and not lives(pid):
                continue  # a record outlives its tree by up to one lease
            tree = Tree(host, pid, {}, {})
            for worker in record["workers"]:
                queue = str(worker["queue"])
                tree.workers[int(worker["pid"])] = queue
                tree.rates[queue] = tree.rates.get(queue, 0.0) + float(worker.get("rate", 0.0))
            tree = tree._replace(
                regiment=str(record.get("regiment", "")),
                plugins=frozenset(map(str, record.get("plugins", ()))),
                targets=_targets(record),
                ended=_ended(record),
            )
        except Exception:
            continue  # a record of another release, or a foreign one: it must not hide the others
        found.append(tree)
    return sorted(found, key=lambda tree: (tree.host, tree.pid))  # two may have the same: keepers of one that has ended


def _ended(record: Mapping[str, Any]) -> Mapping[str, int]:
    found = Counter[str]()
    for worker in record["workers"]:
        found[str(worker["queue"])] += int(worker.get("tasks", 0))
    return found


def _targets(record: Mapping[str, Any]) -> list[Target]:
    numbers = Counter(worker.get("target") for worker in record["workers"])
    found = []
    for at, one in enumerate(record.get("targets", ())):
        tasks, reads = ((None if names is None else frozenset(names)) for names in (one["tasks"], one["reads"]))
        ends = {str(kind): int(number) for kind, number in one["ends"].items()}
        told = (str(one["label"]), str(one["queue"]), str(one["code"]), float(one["since"]))
        found.append(Target(*told, tasks, reads, ends, numbers[at]))
    return found


def serving(connector: Connector) -> dict[str, tuple[int, float]]:
    """Queue -> how many workers serve it now and how many tasks a second they end."""
    return served_by(trees(connector))


def served_by(trees: Iterable[Tree]) -> dict[str, tuple[int, float]]:
    """The same, of these trees."""
    found: dict[str, tuple[int, float]] = {}
    for tree in trees:
        for queue in tree.workers.values():
            workers, rate = found.get(queue, (0, 0.0))
            found[queue] = workers + 1, rate
        for queue, rate in tree.rates.items():
            found[queue] = found[queue][0], found[queue][1] + rate
    return found
