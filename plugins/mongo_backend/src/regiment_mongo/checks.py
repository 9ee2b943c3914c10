"""Rules of `regiment doctor` for MongoDB, M01 to M04 and ST03, of each cluster that a connector reaches."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any

import pymongo
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from regiment.contracts import Examined, Finding
from regiment_mongo.connector import MongoConnector
from regiment_mongo.errors import translated
from regiment_mongo.layout import Document
from regiment_mongo.node import Node

SKEW, MOST_SKEW = 1.0, 5.0
"""Seconds between a host's clock and its store's, from which on it is a warning, and a failure."""
LEAST_LOG = 24.0
"""Hours that the oplog should hold: a member that was away for longer is copied anew."""
TIMEOUT = 10.0
"""Seconds that the questions to one cluster may take together."""


def rules(examined: Examined) -> Iterator[Finding]:
    """All rules of the clusters of this store; none if it is no MongoDB."""
    if isinstance(examined.store, MongoConnector):
        for node in examined.store.nodes():
            with translated(node.shown), pymongo.timeout(TIMEOUT):
                found = list(of_cluster(node))
            yield from found


def of_cluster(node: Node) -> Iterator[Finding]:
    """What one cluster says of itself."""
    client, where = node.client, node.shown
    hello: Document = client.admin.command("hello")
    yield clock(where, hello["localTime"], datetime.datetime.now(datetime.UTC))
    yield members(where, len(hello.get("hosts", ())))
    yield concern(where, node.concern)
    if hello.get("setName"):
        yield log_of(where, client)
    absent = node.absent()
    if absent:
        text = f"{where} lacks {', '.join(absent)}, or has them otherwise: claims read more than they lease"
        yield Finding("M04", "fail", text, "start one worker with the right to make indexes")
    else:
        yield Finding("M04")


def clock(where: str, told: datetime.datetime, now: datetime.datetime) -> Finding:
    """ST03: this host's clock and the server's."""
    ahead = (now.replace(tzinfo=None) - told.replace(tzinfo=None)).total_seconds()
    if abs(ahead) <= SKEW:
        return Finding("ST03")
    text = (
        f"this host's clock is {abs(ahead):.1f} s {'ahead of' if ahead > 0 else 'behind'} that of {where}: `expires` is judged "
        "by the one, `at` and `delay` by the other"
    )
    return Finding("ST03", "fail" if abs(ahead) > MOST_SKEW else "warn", text, "have both follow a time service")


def members(where: str, many: int) -> Finding:
    """M01: how many have the data."""
    if many >= 3:
        return Finding("M01")
    what = f"has {many} data-bearing member{'s' * (many != 1)}" if many else "is a stand-alone server"
    text = f"{where} {what}: acknowledged tasks survive no lost disk"
    return Finding("M01", "warn", text, "a replica set of three; one of one at least, which has transactions")


def concern(where: str, wanted: str) -> Finding:
    """M02: what a push waits for."""
    if wanted == "majority":
        return Finding("M02")
    text = f"pushes to {where} wait for write concern {wanted!r} alone: a failover can lose them"
    return Finding("M02", "warn", text, 'write_concern="majority"')


def log_of(where: str, client: MongoClient[Any]) -> Finding:
    """M03: how many hours the oplog holds."""
    log = client.local["oplog.rs"]
    try:
        first = log.find_one(sort=[("$natural", 1)], projection={"ts": 1})
        last = log.find_one(sort=[("$natural", -1)], projection={"ts": 1})
        size = client.local.command("collStats", "oplog.rs")
    except OperationFailure as error:
        return Finding(
            "M03", "unknown", f"{where} does not show its oplog: {error}", "the role clusterMonitor can read it"
        )
    began, ended = (one["ts"].time if one else 0 for one in (first, last))
    return log_held(where, began, ended, size["size"] / size["maxSize"])


def log_held(where: str, first: int, last: int, full: float) -> Finding:
    """M03, of the times of its first and last entry in seconds, and of how full it is: one that is not full has lost nothing yet."""
    hours = (last - first) / 3600
    if full < 0.9 or hours >= LEAST_LOG:
        return Finding("M03")
    text = f"the oplog of {where} holds {hours:.1f} h: a member that is away for longer has to be copied anew"
    return Finding("M03", "warn", text, "db.adminCommand({replSetResizeOplog: 1, size: MEGABYTES})")
