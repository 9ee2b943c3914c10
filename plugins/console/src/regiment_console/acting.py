"""Every act of an operator is an event, and is kept in the store: who did what to how many, and why."""

from __future__ import annotations

import getpass
import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from regiment import log
from regiment.broker import extras
from regiment.contracts import Connector
from regiment.contracts.steer import ACT_SIZE, STEER, Steered
from regiment.errors import StoreError
from regiment.registry import registry
from regiment.task import new_id
from regiment_cli.printing import say
from regiment_console.asked import calls

MOST_NAMES = 20
"""Ids that an account names; of more it says how many."""
LONGEST_REASON = 1000
"""Characters of a reason that are kept."""


def who() -> str:
    """Who types here: user and host; of somebody who has become another user, both names."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container in which this user has no name
        user = f"uid {os.getuid()}"
    before = os.environ.get("SUDO_USER")
    if before and before != user:
        user = f"{before} as {user}"
    return f"{user}@{os.uname().nodename}"


class Account:
    """What is being done; `number` and `names`, of the tasks to which it is done, grow while it is."""

    def __init__(self, what: str, queue: str, reason: str | None, fields: dict[str, Any]) -> None:
        self.what, self.queue, self.reason, self.fields = what, queue, reason, fields
        self.number = 0
        self.done = False
        """True for what is done to no task."""
        self.names: list[str] = []

    def entry(self) -> dict[str, Any]:
        """As plain data, small enough to be kept."""
        made: dict[str, Any] = {"what": self.what, "who": who()}
        if self.number:
            made["number"] = self.number
        if self.reason:
            made["reason"] = self.reason[:LONGEST_REASON]
        if self.names:
            made["ids"] = [name[:100] for name in self.names[:MOST_NAMES]]
        made |= {name: value for name, value in self.fields.items() if value is not None}
        return made


@contextmanager
def account(connector: Connector, queue: str, what: str, reason: str | None = None, **fields: Any) -> Iterator[Account]:
    """Keep account of an act, also of one that ends half way: of what was done until then. What did nothing has none."""
    made = Account(what, queue, reason, fields)
    try:
        yield made
    finally:
        if made.number or made.done:
            _tell(made)
            _keep(connector, made)


def _tell(made: Account) -> None:
    entry = made.entry()
    event = f"operator.{entry.pop('what')}"
    log.event(logging.INFO, event, queue=made.queue, **entry)
    for _, call in registry().hooks("regiment_event"):
        log.tell(call, {"event": event, "queue": made.queue, **entry}, "operator")
    for _, call in calls("regiment_audit"):
        log.tell(call, {"queue": made.queue, "at": time.time(), **made.entry()})


def _keep(connector: Connector, made: Account) -> None:
    if STEER not in extras(connector):
        return
    entry = made.entry()
    data = json.dumps(entry).encode()
    if len(data) > ACT_SIZE:
        entry.pop("ids", None)
        data = json.dumps(entry).encode()
    try:
        cast("Steered", connector).act(made.queue, data, token=new_id())
    except (StoreError, ValueError) as error:
        say(f"  done, but no account of it could be kept: {error}")


def read(entry: bytes) -> dict[str, Any]:
    """What an act says of itself, whoever wrote it: a mapping with texts for `what` and `who`."""
    try:
        found = json.loads(entry)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        return {"what": "?", "who": "?", "unreadable": entry[:60].decode(errors="replace")}
    return {**found, "what": str(found.get("what", "?")), "who": str(found.get("who", "?"))}
