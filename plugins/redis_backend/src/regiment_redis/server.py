"""Whether a server is one to keep tasks on: its role, the layout it holds, its configuration."""

from __future__ import annotations

from typing import Any

from regiment.contracts import Role
from regiment.errors import StoreError
from regiment_redis.link import Link, field
from regiment_redis.records import text

LAYOUT = 1


class OtherLayout(StoreError):
    """Another release has made what lies there."""

    rule = "ST04"
    """The rule of `regiment doctor` that says so."""


def examine(root: Link, prefix: str, role: Role) -> None:
    """Raises `StoreError` unless this is one; whoever is to change something marks it with the layout."""
    key = f"{prefix}:layout"
    link = root.link(key)
    state: Any = link.command("ROLE") if role != "look" else [b"master"]
    if state[0] == b"slave":
        primary = f"{text(state[1])}:{state[2]}"
        where = link.ready().where
        link.close()
        raise StoreError(
            f"{where} is a replica of {primary}, which takes no tasks; name the primary, or use redis+sentinel://"
        )
    found = link.command("GET", key)
    if found is None and role != "look":
        link.command("SETNX", key, LAYOUT)
    elif found is not None and found != b"%d" % LAYOUT:
        raise OtherLayout(
            f'{root.address} holds the layout {text(found)} under the prefix "{prefix}"; '
            f"this regiment-redis reads layout {LAYOUT}. Upgrade regiment-redis, or choose another prefix"
        )


def warnings(link: Link) -> list[str]:
    """What a server that works does not promise; one sentence each."""
    where = link.ready().where
    try:
        listed = link.command("CONFIG", "GET", "*")
    except StoreError as error:
        return [f"{where} does not show its configuration, so eviction and persistence are unknown: {error}"]
    settings = dict(zip((n.decode() for n in listed[::2]), (v.decode() for v in listed[1::2]), strict=True))
    found = []
    policy = settings.get("maxmemory-policy", "noeviction")
    if policy != "noeviction":
        found.append(
            f"{where} has maxmemory-policy {policy}: when memory is short it deletes tasks. "
            "Set maxmemory-policy noeviction"
        )
    if settings.get("appendonly") != "yes":
        left = (
            "only snapshots: a crash loses what came after the last one" if settings.get("save") else "no persistence"
        )
        found.append(f"{where} has {left}. Set appendonly yes so that pushed tasks survive a crash")
    if field(link.command("INFO", "replication"), "role") == "slave":
        found.append(f"{where} is a replica; tasks are written to the primary")
    return found
