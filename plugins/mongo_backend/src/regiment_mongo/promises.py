"""What a cluster that works does not promise: for `check --connect`."""

from __future__ import annotations

from pymongo import MongoClient
from pymongo.errors import OperationFailure

from regiment_mongo.layout import Document


def lacking(client: MongoClient[Document], shown: str, concern: str, *, safe: bool) -> list[str]:
    """One sentence each; `safe` where there are transactions, `concern` is what a push waits for."""
    found: list[str] = []
    if not safe:
        found.append(
            f"{shown} is a stand-alone server: tasks die with its disk, and a push of several or a giving back that is"
            " cut off half-way and repeated after the task ran can run it twice; a replica set of one cures the latter"
        )
    else:
        members = client.admin.command("hello").get("hosts", [])
        if 0 < len(members) < 3:
            found.append(f"{shown} has {len(members)} data-bearing member(s): acknowledged tasks survive no lost disk")
    if concern != "majority":
        promise = "a failover can lose them" if concern == "journal" else "a crash or a failover can lose them"
        found.append(f"{shown}: pushes wait for write concern {concern!r} only; {promise}")
    try:
        version = client.server_info()["versionArray"]
        if version[0] < 6:
            found.append(f"{shown} is MongoDB {version[0]}.{version[1]}; tested are 6.0 and later")
    except OperationFailure:
        pass
    return found
