"""The contracts: what a connector, serializer, compressor, executor and killer must do, and what extensions are given.

Batch-first, no singular twins; bytes in, bytes out. Each verb says what happens on repeat, on absence and in a race;
`regiment_testing.contracts` examines every promise made here. Seconds are floats and relative to now, by the store's
own clock, unless a name says otherwise; so a worker's wrong clock moves no lease.
"""

from __future__ import annotations

from regiment.contracts.data import *
from regiment.contracts.effects import *
from regiment.contracts.extending import *
from regiment.contracts.flow import *
from regiment.contracts.history import *
from regiment.contracts.ledger import *
from regiment.contracts.running import *
from regiment.contracts.steer import *
from regiment.contracts.store import *
from regiment.errors import *

CONTRACT_VERSION = 2
"""Plugins name the version that they were built for (`Offer(contract=…)`)."""
CONTRACTS = (1, 2)
"""Versions that regiment takes. Version 2 has added extras (`Capabilities.extras`), and changed nothing: a part made for
version 1 sees no new argument and is asked for no new verb."""
