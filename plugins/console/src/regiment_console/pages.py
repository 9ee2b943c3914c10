"""The dashboard's pages of single tasks, of what people did, and of what the doctor says: what the verbs say, as pages."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from regiment.codec import Codec
from regiment.config import WorkerConfig
from regiment.contracts import Connector, Examined, Finding
from regiment.contracts.steer import LOOKED_AT, Steered
from regiment.errors import RegimentError
from regiment_cli.panels import Act, Asked, Done
from regiment_console import audit, fleet, letters, why
from regiment_console.doctor import LEVELS, said
from regiment_console.handling import notify
from regiment_console.looking import SHOWN, Wanted, listed, nowhere
from regiment_console.masks import hidden
from regiment_console.seen import decoded, in_full, record, repr_of
from regiment_console.steering import Found, find, steered
from regiment_console.store import shown_name

MOST = 100
"""Tasks or acts on one page."""
AGAIN = 10.0
"""Seconds for which the doctor's answer is shown again: its rules read the whole store."""
TEMPLATES = Path(__file__).parent / "templates"


class Looked(NamedTuple):
    """A store as `why` and plugins that give reasons want it."""

    config: WorkerConfig
    looking: Connector
    reader: Codec

    def codec(self) -> Codec:
        """What reads the payloads here."""
        return self.reader


class TasksPage:
    """`/tasks`: tasks of a state, or those in which a text stands; with `id` everything about one."""

    templates = TEMPLATES

    def __init__(self) -> None:
        self.acts: Mapping[str, Act] = {"cancel": _cancel, "run": _run}

    def show(self, asked: Asked) -> tuple[str, Mapping[str, Any]]:
        """One task, or a list."""
        id = asked.values.get("id")
        with asked.broker.connector() as connector:
            store = steered(connector, "the page of tasks")
            if id:
                return "task.html", _one(asked, store, id)
            return "tasks.html", _many(asked, store)


def _many(asked: Asked, store: Steered) -> dict[str, Any]:
    state, text, queue = (asked.values.get(name) or None for name in ("state", "q", "queue"))
    if state not in (None, *SHOWN):
        raise RegimentError(f'no state "{state}"; there are {", ".join(SHOWN)}')
    wanted = Wanted(state, None, ())
    # A queue in which nothing is there is not asked state by state.
    counts = dict(zip(asked.queues, store.counts_many(asked.queues), strict=True))
    queues = [name for name in asked.queues if queue in (None, name) and any(counts[name][:3])]
    if text:
        found, cut = _holding(asked, store, queues, wanted, text)
    else:
        found, cut = listed(store, queues, asked.broker.codec, wanted, MOST, LOOKED_AT)
    shown = {"tasks": found, "cut": cut, "state": state, "q": text or "", "queue": queue, "most": MOST}
    return {**shown, "queues": asked.queues, "states": SHOWN}


def _holding(
    asked: Asked, store: Steered, queues: Sequence[str], wanted: Wanted, text: str
) -> tuple[list[dict[str, Any]], list[str]]:
    """Tasks in whose bytes a text stands, among the first `LOOKED_AT` of each queue and state; and what was not looked at."""
    found: list[dict[str, Any]] = []
    cut: list[str] = []
    for queue in queues:
        for state in wanted.places():
            if len(found) >= MOST:
                return found, cut
            glance = store.look(queue, state, MOST - len(found), holding=text.encode())
            for seen in glance.tasks:
                task = decoded(seen, queue, asked.broker.codec)
                if wanted.takes(seen, task):
                    found.append(record(queue, seen, task))
            if glance.after is not None and len(found) < MOST:
                cut.append(f'looked at the first {LOOKED_AT:,} that are {state} in "{shown_name(queue)}"')
    return found, cut


def _one(asked: Asked, store: Steered, id: str) -> dict[str, Any]:
    config, codec = asked.broker.config, asked.broker.codec
    told = {one["queue"]: one for one in why.told(Looked(config, store, codec), id, asked.queues)}
    found = find(store, asked.queues, [id])
    full = [in_full(one.queue, one.seen, decoded(one.seen, one.queue, codec)) for one in found]
    for one in full:
        one["arguments"] = {
            str(name): repr_of(hidden(value, name)) for name, value in (one.get("kwargs") or {}).items()
        }
        one["header"] = {str(name): str(hidden(value, name)) for name, value in (one.get("headers") or {}).items()}
        one["reasons"] = told.pop(one["queue"], {"reasons": []})["reasons"]
    dead = {name: letter.id for name, letter in letters.find(store, asked.queues, id)}
    nothing = "" if full or told else nowhere(id, store.describe(), asked.queues)
    return {"id": id, "found": full, "others": list(told.values()), "dead": dead, "nothing": nothing}


def _here(asked: Asked) -> tuple[str, Found]:
    """The task that a form names, where it is now."""
    queue, id = asked.values["queue"], asked.values.get("id", "")
    with asked.broker.connector() as connector:
        found = find(steered(connector, "this form"), [queue], [id])
    if not found:
        raise RegimentError(f'nothing was done: "{id}" does not wait or run in "{shown_name(queue)}" any more')
    return id, found[0]


def _cancel(asked: Asked) -> Done:
    id, found = _here(asked)
    with asked.broker.connector() as connector:
        store = steered(connector, "this form")
        notify(store, store, found.queue, [id])
    runs = found.seen.state == "leased"
    return Done(f"{id} is told to stop." if runs else f"{id} ends without a run when its turn comes.", of=id)


def _run(asked: Asked) -> Done:
    id, found = _here(asked)
    with asked.broker.connector() as connector:
        done = steered(connector, "this form").steer(found.queue, [found.seen.place], delay=0.0)
    if not done:
        return Done(f"{id} was leased or moved meanwhile; nothing was done.", changed=False)
    return Done(f"{id} is ready now.", of=id)


class AuditPage:
    """`/audit`: who did what, newest first."""

    templates = TEMPLATES
    acts: Mapping[str, Act] = {}

    def show(self, asked: Asked) -> tuple[str, Mapping[str, Any]]:
        """The newest acts of all queues, or of the one that is named, which the store may have forgotten."""
        queue = asked.values.get("queue")
        with asked.broker.connector() as connector:
            acts = audit.acts(steered(connector, "the page of acts"), [queue] if queue else asked.queues, MOST)
        rows = [audit.row(at, name, dict(entry)) for at, name, entry in acts]
        return "audit.html", {"head": audit.HEAD, "rows": rows, "queue": queue, "most": MOST}


class DoctorPage:
    """`/doctor`: what `regiment doctor` says of the store and its queues, and of the host of the dashboard."""

    templates = TEMPLATES
    acts: Mapping[str, Act] = {}

    def __init__(self) -> None:
        self._at = float("-inf")
        self._found: list[Finding] = []

    def show(self, asked: Asked) -> tuple[str, Mapping[str, Any]]:
        """What is not well, worst first; asked anew if the last answer is older than `AGAIN`."""
        now = time.monotonic()
        if now - self._at > AGAIN:
            with asked.broker.connector() as connector:
                found = [*fleet.answers(connector), *said(Examined(connector, {}, False))]
            self._at, self._found = now, sorted(found, key=lambda one: LEVELS.index(one.level))
        bad = [one for one in self._found if one.level != "ok"]
        well = {one.rule for one in self._found} - {one.rule for one in bad}
        return "doctor.html", {"bad": bad, "well": sorted(well), "ago": max(0.0, now - self._at)}


tasks, acts, doctor = TasksPage(), AuditPage(), DoctorPage()
