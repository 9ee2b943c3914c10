"""Rules of `regiment doctor` for Redis, R01 to R07 and ST03, of each server that a connector reaches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from regiment.contracts import Examined, Finding
from regiment.errors import StoreError
from regiment_redis.connector import RedisConnector
from regiment_redis.link import ClusterLink, Link, field

SKEW, MOST_SKEW = 1.0, 5.0
"""Seconds between a host's clock and its store's, from which on it is a warning, and a failure."""
FULL, FULLEST = 0.75, 0.9
"""Shares of `maxmemory` from which on it is a warning, and a failure."""
CROWDED = 0.8
"""Share of `maxclients` from which on it is a warning."""

MANY, MOST = 1000, 0.8
"""Tasks of a cluster from which on it is a warning that one queue has such a share of them."""


def rules(examined: Examined) -> Iterator[Finding]:
    """All rules of the servers of this store; none if it is no Redis."""
    if isinstance(examined.store, RedisConnector):
        yield from crowded(examined.store)
        for root in examined.store.roots():
            links = root.links() if isinstance(root, ClusterLink) else [root.link("")]
            if isinstance(root, ClusterLink):
                yield whole_cluster(links[0])
            for link in links:
                yield from of_server(link)


def of_server(link: Link) -> Iterator[Finding]:
    """What one server says of itself. What it hides, as managed servers do, is unknown and not wrong."""
    where = link.ready().where
    yield clock(where, link.command("TIME"))
    info: bytes = link.command("INFO")
    if field(info, "role") == "slave":
        text = f"{where} is a replica: it takes no tasks"
        yield Finding("R07", "fail", text, "name the primary, or use redis+sentinel://")
    yield memory(where, _number(info, "used_memory"), _number(info, "maxmemory"))
    yield written(where, field(info, "aof_last_write_status"), field(info, "rdb_last_bgsave_status"))
    settings = _settings(link)
    asked: tuple[tuple[str, str, Callable[[str, dict[str, str]], Finding]], ...] = (
        ("R01", "maxmemory-policy", eviction),
        ("R02", "appendonly", persistence),
    )
    for rule, name, judge in asked:
        if name in settings:
            yield judge(where, settings)
        else:
            yield Finding(rule, "unknown", f"{where} does not show {name}", "look into its configuration")
    yield clients(where, _number(info, "connected_clients"), int(settings.get("maxclients", 0)))


def clock(where: str, told: Any, now: Callable[[], float] = time.time) -> Finding:
    """ST03: this host's clock and the server's."""
    ahead = now() - (int(told[0]) + int(told[1]) / 1e6)
    if abs(ahead) <= SKEW:
        return Finding("ST03")
    text = (
        f"this host's clock is {abs(ahead):.1f} s {'ahead of' if ahead > 0 else 'behind'} that of {where}: `expires` is judged "
        "by the one, `at` and `delay` by the other"
    )
    return Finding("ST03", "fail" if abs(ahead) > MOST_SKEW else "warn", text, "have both follow a time service")


def eviction(where: str, settings: dict[str, str]) -> Finding:
    """R01: whether tasks are deleted when memory is short."""
    policy = settings["maxmemory-policy"]
    if policy == "noeviction":
        return Finding("R01")
    text = f"{where} has maxmemory-policy {policy}: it deletes what regiment keeps when memory is short"
    return Finding(
        "R01",
        "fail",
        text,
        "maxmemory-policy noeviction in redis.conf (and CONFIG SET for now), or a server for the tasks alone",
    )


def persistence(where: str, settings: dict[str, str]) -> Finding:
    """R02: whether tasks survive a crash of the server."""
    if settings["appendonly"] == "yes":
        return Finding("R02")
    left = (
        "writes snapshots alone: a crash loses what came after the last"
        if settings.get("save")
        else "writes nothing to disk"
    )
    return Finding(
        "R02", "warn", f"{where} {left}", "appendonly yes in redis.conf (and CONFIG SET appendonly yes for now)"
    )


def memory(where: str, used: int, most: int) -> Finding:
    """R03: how full it is."""
    if not most or used < FULL * most:
        return Finding("R03")
    text = f"{where} uses {used / most:.0%} of its maxmemory ({used:,} of {most:,} bytes); when it is full, pushes are refused"
    level = "fail" if used >= FULLEST * most else "warn"
    return Finding("R03", level, text, "more memory, or more workers; regiment queues says what lies there")  # type: ignore[arg-type]


def written(where: str, log: str, snapshot: str) -> Finding:
    """R04: whether its last write to disk went well."""
    bad = [what for what, status in (("append-only file", log), ("snapshot", snapshot)) if status not in ("ok", "")]
    if not bad:
        return Finding("R04")
    text = f"{where} could not write its {' and its '.join(bad)} the last time"
    return Finding("R04", "fail", text, "look at the disk of that server, and at its log")


def clients(where: str, connected: int, most: int) -> Finding:
    """R05: how many connections it has, of those that it takes."""
    if not most or connected < CROWDED * most:
        return Finding("R05")
    text = f"{where} has {connected:,} connections of at most {most:,}"
    return Finding(
        "R05", "warn", text, "CONFIG SET maxclients N, or fewer trees: each has one for the keeper and two a worker"
    )


def crowded(store: RedisConnector) -> Iterator[Finding]:
    """R06: whether one queue is most of the work of a cluster, all of which lies on one of its servers."""
    roots = store.roots()
    if len(roots) == 1 and isinstance(roots[0], ClusterLink) and len(roots[0].links()) > 1:
        counts = {name: store.counts(name) for name in store.queues()}
        yield most_of({name: one.ready + one.delayed + one.leased for name, one in counts.items()}, roots[0])


def most_of(tasks: dict[str, int], cluster: ClusterLink) -> Finding:
    """R06, of the tasks that each queue has."""
    total = sum(tasks.values())
    queue = max(tasks, key=lambda name: tasks[name], default="")
    if total < MANY or tasks[queue] < MOST * total:
        return Finding("R06")
    place = cluster.link(f"{{{queue}}}").ready().where
    text = f'"{queue}" has {tasks[queue] / total:.0%} of {total:,} tasks, and all of a queue lies on one server of the cluster: {place}'
    return Finding("R06", "warn", text, "several queues in the place of one, or a server of its own for it")


def whole_cluster(link: Link) -> Finding:
    """R07: whether all slots have a server."""
    info: bytes = link.command("CLUSTER", "INFO")
    return slots(field(info, "cluster_state"), field(info, "cluster_slots_ok"))


def slots(state: str, there: str) -> Finding:
    """R07, of the state that a cluster tells, and of the number of slots that have a server."""
    if state == "ok":
        return Finding("R07")
    text = f"the cluster's state is {state}: {16384 - int(there or 0):,} of 16,384 slots have no server"
    return Finding("R07", "fail", text, "bring the missing servers back, or fail over to their replicas")


def _number(info: bytes, name: str) -> int:
    found = field(info, name)
    return int(found) if found.isdigit() else 0


def _settings(link: Link) -> dict[str, str]:
    try:
        listed: Any = link.command("CONFIG", "GET", "*")
    except StoreError:
        return {}
    words = [word.decode(errors="replace") for word in listed]
    return dict(zip(words[::2], words[1::2], strict=True))
