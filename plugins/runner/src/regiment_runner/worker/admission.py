"""Whether a delivery runs, is judged without running, waits or is dead. Attempts and `take` ask the same functions.

One is asked before a byte of the payload is decoded, the other with what came of the decoding. Neither changes anything.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from regiment import errors
from regiment import outcome as outcomes
from regiment.config import WorkerConfig
from regiment.contracts import Delivery
from regiment.errors import DecodeError, Forged, TaskTimeout
from regiment.known import DISTRIBUTIONS, written
from regiment.outcome import Outcome
from regiment.registry import registry
from regiment.task import Task
from regiment_runner.worker.verdict import read_note, was_struck


class Run(NamedTuple):
    """It may run."""


class Expired(NamedTuple):
    """Its time has passed: it is done without a run."""


class Cancelled(NamedTuple):
    """Its id stands on the notice board: it is done without a run."""


class Judge(NamedTuple):
    """It does not run: an earlier run has decided how it ended, and only its handlers are called."""

    outcome: Outcome


class Wait(NamedTuple):
    """A worker of another release or installation may know it: it is parked for `delay` seconds."""

    delay: float
    text: str


class Bury(NamedTuple):
    """It is dead as it came, and nothing of it is called."""

    kind: str
    text: str
    evidence: dict[str, Any] = {}
    name: str = ""
    """The task's, if it could be decoded."""


Decision = Run | Expired | Cancelled | Judge | Wait | Bury
RUN = Run()
EXPIRED = Expired()
CANCELLED = Cancelled()
_LOST = "its host was lost"
"""The reason of an end of which nobody could leave a note."""


def most_ends(config: WorkerConfig) -> int:
    """How often a delivery may end its worker before it does not run any more."""
    return 1 if config.delivery == "at_most_once" else config.max_deliveries


def beyond(delivery: Delivery, config: WorkerConfig) -> Bury | None:
    """The end of a delivery that has ended one more worker than its runs may; None for one that may be decoded.

    With `max_deliveries` ends behind it a delivery is judged, which decodes it and calls handlers. If that ends a worker
    too, nothing that it makes run is called any more, its decoding included. Where one delivery is all there is, a suspect
    had a second one (R19): struck then, it is still judged.
    """
    ends = most_ends(config)
    if ends == 1 and config.delivery != "at_most_once" and was_struck(delivery.note):
        ends = 2
    if delivery.count <= ends:
        return None
    evidence = read_note(delivery.note)
    text = f"ended its worker {delivery.count} times, the last time while its end was to be judged; {_last_known(evidence)}"
    return Bury(outcomes.POISON, text, evidence)


def admit(
    delivery: Delivery,
    found: Task | DecodeError,
    config: WorkerConfig,
    now: float,
    known: bool = True,
) -> Decision:
    """What becomes of a delivery that was decoded into a task, or could not be.

    `now` is the time of day, `known` whether something here runs tasks of that name.
    """
    if isinstance(found, DecodeError):
        if found.parkable:
            return _wait(delivery, config, str(found))
        if delivery.count >= most_ends(config):
            return Bury(outcomes.POISON, _poison(delivery), read_note(delivery.note))
        kind = "forged" if isinstance(found, Forged) else outcomes.UNREADABLE
        return Bury(kind, str(found))
    if found.tags is not None and (lacking := found.tags.keys() - understood(config)):
        text = f"it has tags for {', '.join(sorted(lacking))}, which no plugin of the queue {found.queue!r} understands here{_homes(lacking)}"
        return Wait(
            min(60.0, max(1.0, delivery.parked)), f"{text}; it waits, without end, for a worker with that plugin"
        )
    if not known:
        text = f"no task named {found.name!r} is known on queue {found.queue!r}"
        return _wait(delivery, config, text, found.name)
    if found.expires is not None and now >= found.expires:
        return EXPIRED
    if not delivery.count and delivery.note is None:
        return RUN
    evidence = read_note(delivery.note)
    if evidence.get("kind") == outcomes.CANCELLED:
        killed = errors.Cancelled(reason=evidence.get("reason", "cancelled"))
        return Judge(Outcome(outcomes.CANCELLED, error=killed, evidence=evidence))
    if evidence.get("kind") == outcomes.TIMEOUT:
        reason = evidence.get("reason", "killed at its time limit")
        text = f"{reason}\n{evidence.get('stacks', '')}".rstrip()
        late = Outcome(outcomes.TIMEOUT, error=TaskTimeout(reason), text=text, evidence=evidence)
        return Judge(late)
    if evidence.get("kind") == "suspect" and config.delivery != "at_most_once":
        return RUN  # R19: alone, as on its last delivery
    if delivery.count >= most_ends(config):
        return Judge(Outcome(outcomes.POISON, text=_poison(delivery), evidence=evidence))
    return RUN


def _homes(tags: Iterable[str]) -> str:
    """Which of our distributions understand these tags, and how a queue names them."""
    ours = sorted(tag for tag in tags if tag in DISTRIBUTIONS)
    return "".join(f" (pip install {DISTRIBUTIONS[tag]}, and plugins=[…] with {written(tag)})" for tag in ours)


_understood: dict[int, tuple[object, frozenset[str]]] = {}
"""Identity of the plugins of a configuration -> these, and the tags that tasks may have where they act; it never changes."""


def understood(config: WorkerConfig) -> frozenset[str]:
    """The tags that tasks of this configuration's queue may have."""
    found = _understood.get(id(config.plugins))
    if found is None or found[0] is not config.plugins:
        words = frozenset(registry().scope(config.plugins).said("understands"))
        found = _understood[id(config.plugins)] = config.plugins, words
    return found[1]


def _poison(delivery: Delivery) -> str:
    """Why it is dead. Each end may leave a note, and a lost host leaves none: a note is that of the last end for sure only
    where there was one end.
    """
    evidence = read_note(delivery.note)
    if delivery.count == 1:
        return f"ended its worker once: {evidence.get('reason', _LOST)}"
    return f"ended its worker {delivery.count} times; {_last_known(evidence)}"


def _last_known(evidence: dict[str, Any]) -> str:
    """What the one note that is kept says of several ends."""
    if "reason" in evidence:
        return f"the last reason that is known: {evidence['reason']}"
    return f"no reason is known: {_LOST}, each time"


def _wait(delivery: Delivery, config: WorkerConfig, text: str, name: str = "") -> Wait | Bury:
    """Parked for 1 s at first, then for as long as it was parked before, at most 60 s; dead after `unknown_for`."""
    if delivery.parked >= config.unknown_for:
        return Bury(outcomes.UNKNOWN, f"{text}; parked for {delivery.parked:.0f} s", name=name)
    left = max(0.05, config.unknown_for - delivery.parked)
    return Wait(min(60.0, max(1.0, delivery.parked), left), text)
