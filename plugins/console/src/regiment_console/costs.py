"""Rules of `regiment doctor` that hold the settings of a queue against its tasks: C05 and C06."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from regiment.broker import extras
from regiment.config import WorkerConfig
from regiment.contracts import Connector, Examined, Finding
from regiment.contracts.history import HISTORY, Recording
from regiment_cli.text import age
from regiment_console.hosts import LOOKED_AT, each
from regiment_console.store import shown_name

LARGE = 0.5
"""Share of `payload_limit` from which on a message is large."""
LATELY = 3600.0
"""Seconds of history from which the average is taken."""


def rules(asked: Examined, store: Connector) -> Iterator[Finding]:
    """C05 of each target; C06 of each queue."""
    configs = {app.config.name: (label, app.config) for label, app in asked.targets.items()}
    yield from each("C05", (slow(store, label, config) for label, config in configs.values())) if configs else ()
    default = WorkerConfig(name="cli").payload_limit
    limits = {name: config.payload_limit for name, (_, config) in configs.items()}
    yield from each("C06", (largest(store, name, limits.get(name, default)) for name in store.queues()))


def slow(store: Connector, label: str, config: WorkerConfig) -> Finding | None:
    """C05: tasks that take long are leased many at a time, and what waits behind one is given back again and again."""
    batch, patience = config.tasks_per_transaction, config.give_back_after
    if batch < 2 or patience is None or HISTORY not in extras(store):
        return None
    slices = cast("Recording", store).history([config.name], "hour", LATELY)
    ended = [one for slice in slices for one in slice.ended]
    number, seconds = sum(sum(one.counts) for one in ended), sum(one.ms for one in ended) / 1000
    if not number or seconds / number < patience:
        return None
    text = (
        f"{label}: {batch} tasks are leased at a time, and one takes {age(seconds / number)} on average: what waits behind "
        f"it goes back after {age(patience)}, and is leased again and again"
    )
    return Finding("C05", "warn", text, "tasks_per_transaction=1")


def largest(store: Connector, name: str, limit: int) -> Finding | None:
    """C06: a message is nearly as large as one may be."""
    sizes = (len(one.payload) for state in ("ready", "delayed") for one in store.peek(name, state, LOOKED_AT))
    most = max(sizes, default=0)
    if most < LARGE * limit:
        return None
    text = f'"{shown_name(name)}" has a message of {most:,} bytes, {most / limit:.0%} of payload_limit'
    return Finding("C06", "warn", text, "keep the data elsewhere, and push where they are")
