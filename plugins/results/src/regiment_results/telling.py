"""What `regiment why` says of a task whose end is kept."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from regiment.broker import extras
from regiment.build import make_codec
from regiment.config import WorkerConfig
from regiment.contracts import EFFECTS
from regiment.errors import DecodeError
from regiment.registry import registry
from regiment_cli.text import age
from regiment_results.records import FINAL, Outcome, key_of, read


def ended(id: str, queue: str, connector: Any, config: WorkerConfig) -> Iterator[str]:
    """How it ended, if that is kept and can be read; nothing of one that has not ended."""
    if EFFECTS not in extras(connector):
        return
    record = connector.records(queue, [key_of(id)])[0]
    if record is None or record.rank < FINAL:
        return
    where = f"regiment results show {id} -q {queue}"
    try:
        found = read(make_codec(config, registry().scope(config.plugins)), record, (queue, key_of(id)))
    except DecodeError:
        yield f'has ended at "{queue}", and how cannot be read here: {where} -A MODULE'
        return
    if isinstance(found, Outcome):
        why = f": {found.error.type}: {found.error.message}" if found.error else ""
        yield f'ended as {found.kind} at "{queue}" {age(max(0.0, time.time() - found.ended))} ago, on {found.worker}{why}: {where}'
