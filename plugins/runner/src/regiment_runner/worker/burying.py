"""Dead letters of deliveries of which nothing runs, and who is told of any dead letter: for attempts and for `take`."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from regiment import log
from regiment.codec import read_head
from regiment.config import WorkerConfig
from regiment.contracts import Dead, Delivery
from regiment.contracts.effects import Effect
from regiment.errors import DecodeError
from regiment_runner.worker.admission import Bury
from regiment_runner.worker.parking import Brake
from regiment_runner.worker.tallying import Tally


class Told(Protocol):
    """Who hears of dead letters: what a runtime knows of hooks and observers."""

    config: WorkerConfig
    handlers: Mapping[str, Callable[..., Any]]
    died: Sequence[Callable[[Any], None]]
    call: Callable[..., Any]
    brake: Brake
    effects: Sequence[tuple[str, Callable[..., Iterable[Effect]]]]
    tally: Tally


def id_of(payload: bytes) -> str:
    """The id in the head of a message; empty if it has none that can be read."""
    try:
        return read_head(payload).task_id
    except DecodeError:
        return ""


def buried(delivery: Delivery, decided: Bury, queue: str) -> Dead:
    """The dead letter of a delivery of which nothing is called; it keeps its bytes."""
    task_id = id_of(delivery.payload)
    reason: dict[str, Any] = {
        "kind": decided.kind,
        "error": decided.text,
        "queue": queue,
        "name": decided.name,
    }
    if delivery.count:
        reason["deliveries"] = delivery.count
    if decided.evidence:
        reason["evidence"] = decided.evidence
    log.event(logging.ERROR, f"task.{decided.kind}", reason=decided.text, id=task_id, queue=queue)
    return Dead(delivery.receipt, task_id, json.dumps(reason).encode())


def tell_dead(told: Told, letter: Dead) -> None:
    """Tell the observers of a dead letter."""
    if told.died:
        reason = json.loads(letter.reason)
        for observer in told.died:
            log.tell(observer, {"task_id": letter.task_id, "queue": told.config.name, **reason})
