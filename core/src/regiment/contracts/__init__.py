"""The contracts: what a connector, serializer, compressor, executor and killer must do, and what extensions are given.

Batch-first, no singular twins; bytes in, bytes out. Each verb says what happens on repeat, on absence and in a race;
`regiment_testing.contracts` examines every promise made here. Seconds are floats and relative to now, by the store's
own clock, unless a name says otherwise; so a worker's wrong clock moves nobody's lease.
"""

from __future__ import annotations

from regiment.contracts.data import Compressor, Secret, Serializer
from regiment.contracts.extending import Duty, Push, Served, Server, Service
from regiment.contracts.running import (
    MOST_SLOTS,
    Application,
    Attempt,
    AttemptLike,
    Executor,
    Killer,
    KillerPage,
    Place,
    Reading,
    Source,
    View,
)
from regiment.contracts.store import (
    Again,
    Back,
    Board,
    Capabilities,
    Connector,
    Counts,
    Dead,
    Delivery,
    Done,
    Letter,
    Park,
    Peeked,
    Role,
    Settlement,
    Span,
    Taken,
    Terms,
)
from regiment.errors import ConfigError, DecodeError, Fenced, Forged, QueueFull, StoreError, StoreUnavailable

__all__ = [
    "CONTRACT_VERSION",
    "MOST_SLOTS",
    "Again",
    "Application",
    "Attempt",
    "AttemptLike",
    "Back",
    "Board",
    "Capabilities",
    "Compressor",
    "ConfigError",
    "Connector",
    "Counts",
    "Dead",
    "DecodeError",
    "Delivery",
    "Done",
    "Duty",
    "Executor",
    "Fenced",
    "Forged",
    "Killer",
    "KillerPage",
    "Letter",
    "Park",
    "Peeked",
    "Place",
    "Push",
    "QueueFull",
    "Reading",
    "Role",
    "Secret",
    "Serializer",
    "Served",
    "Server",
    "Service",
    "Settlement",
    "Source",
    "Span",
    "StoreError",
    "StoreUnavailable",
    "Taken",
    "Terms",
    "View",
]

CONTRACT_VERSION = 1
"""Plugins name the version they were built for (`Offer(contract=…)`); another one is refused, with the reason."""
