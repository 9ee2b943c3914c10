"""What `update_state` says of a task that runs: kept in the store, beside its queue."""

from __future__ import annotations

import json
from typing import Any

from regiment.bounds import seen, text
from regiment.contracts import Keep
from regiment.task import new_id
from regiment_celery.options import Refused
from regiment_celery.states import READY_STATES

_NOTE_TTL = 86_400.0


def _note_key(id: str) -> str:
    return f"celery:{id}"


def note(app: Any, queue: str, id: str, state: str | None, meta: Any) -> None:
    """Keep what `update_state` says: one request to the store."""
    if state is not None and not text(state, 100):
        raise Refused(f"update_state got state={seen(state)}; expected a word of at most 100 bytes")
    if state in READY_STATES:
        raise Refused(
            f"update_state(state={state!r}) cannot be had here; how a task has ended is said by its end: return, or raise"
        )
    value = json.dumps([state, meta], default=str).encode()
    broker = app.lane(queue).broker
    with broker.connector() as store:
        store.apply(queue, [Keep(_note_key(id), value, _NOTE_TTL)], token=new_id())


def read_note(app: Any, queue: str, id: str) -> tuple[str | None, Any] | None:
    """What `update_state` has said last."""
    with app.lane(queue).broker.connector() as store:
        found = store.records(queue, [_note_key(id)])[0]
    if found is None:
        return None
    state, meta = json.loads(found.value)
    return state, meta
