"""The keeper: the one process of a tree that speaks to the stores for its workers.

It renews every consumer, settles what a busy worker has marked done, takes back what waits behind a slow task, and gives
back what a dead worker held. All it needs stands on the pages, so a new keeper goes on where a dead one stopped.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import logging
import math
import os
import queue
import random
import select
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from garrison import log, page
from garrison.config import Use
from garrison.contracts import Connector, Span
from garrison.descendants import end_tagged
from garrison.errors import StoreUnavailable
from garrison.page import Page
from garrison.registry import registry

TICK = 1.0
"""Seconds between two signs of life to the supervisor."""

DRAIN_WAIT = 0.002
"""Seconds to wait between writing a word and reading another's: longer than any store buffer keeps a write (R15)."""

RENEWALS = 4
"""Renewals in the time of a lease. Stores take more than a third of a lease without any for an outage of their own, and
move all deadlines (R8): renewing every third, and a little late as ever, kept a dead host's consumers alive."""

NOTHING: Span = (0, 0)
"""A span without a receipt: what `release(only=…)` gives back when it is only to settle."""

PAUSE, LONGEST_PAUSE = 0.05, 1.0
"""Seconds before a job that failed is tried again: after the first time, and at most."""

LAST_GASP = 0.9
"""Seconds that a keeper without a supervisor may spend on giving back."""


RATE_OVER = 10.0
"""Seconds in which a rate loses two thirds of what it was."""


class Ward:
    """One worker as its keeper sees it."""

    def __init__(
        self, name: str, path: Path, pidfd: int, spec: Mapping[str, Any], store: Store
    ) -> None:
        self.name, self.pidfd, self.spec, self.store = name, pidfd, spec, store
        self.page = Page(path)
        self.lease: float = spec["lease"]
        self.give_back: float | None = spec["give_back_after"]
        self.settle: float = spec["settle_within"]
        self.once = spec["delivery"] == "at_most_once"
        self.dead: dict[str, Any] | None = None
        """What the supervisor says of its end; None while it lives."""
        self.settled = 0
        """The highest number that was settled for it."""
        self.revoked: Span = NOTHING
        """The range whose taking back this keeper has asked for last."""
        self._counted, self._rate = (page.now(), self.page.words[page.TASKS]), 0.0

    def rate(self) -> float:
        """Tasks that ended per second, of the last `RATE_OVER` seconds or so."""
        (then, before), now, tasks = self._counted, page.now(), self.page.words[page.TASKS]
        self._counted, seconds = (now, tasks), max(1, now - then) / 1e9
        self._rate += ((tasks - before) / seconds - self._rate) * -math.expm1(-seconds / RATE_OVER)
        return self._rate

    def alive(self) -> bool:
        """Whether its process lives; only a pidfd says so (R9)."""
        return not select.select([self.pidfd], [], [], 0)[0]

    def close(self) -> None:
        """Unmap the page and close the pidfd."""
        self.page.close()
        os.close(self.pidfd)


class Job(NamedTuple):
    """Something to do at a store: what is urgent first, all else in the order in which it was asked for."""

    patient: bool
    number: int
    key: Any
    do: Callable[[Connector], None]


class Store:
    """One store and the thread that speaks to it; when it is down, only its own work waits."""

    def __init__(self, spec: Mapping[str, Any], done: Callable[[], None]) -> None:
        self.spec, self._done = spec, done
        self.jobs: queue.PriorityQueue[Job] = queue.PriorityQueue()
        self.waiting: set[Any] = set()
        self.renew_at = 0.0
        self._numbers = itertools.count()
        self._connector: Connector | None = None
        self._throttle = log.Throttle()
        self._failing: tuple[Job, float] | None = None
        """What failed first, and since when."""
        self.thread = threading.Thread(target=self._run, name="garrison-store", daemon=True)
        self.thread.start()

    def ask(self, key: Any, do: Callable[[Connector], None], *, urgent: bool = False) -> None:
        """Do something when its turn comes; a job under a key that waits already is not added."""
        if key not in self.waiting:
            self.waiting.add(key)
            self.jobs.put(Job(not urgent, next(self._numbers), key, do))

    def _run(self) -> None:
        pause = PAUSE
        while True:
            job = self.jobs.get()
            try:
                job.do(self._open())
            except Exception as error:
                self.jobs.put(job)  # in its old place: only what is urgent goes ahead
                self._failed(job, error)
                time.sleep(pause * random.uniform(0.5, 1.0))
                pause = min(LONGEST_PAUSE, pause * 2)
            else:
                pause = PAUSE
                self.waiting.discard(job.key)
                self._succeeded(job)
                self._done()

    def _open(self) -> Connector:
        if self._connector is None:
            use = Use(self.spec["name"], **self.spec["options"])
            connector: Connector = registry(self.spec.get("plugins", ())).build("connectors", use)
            connector.open("keep")
            self._connector = connector
        return self._connector

    def _failed(self, job: Job, error: Exception) -> None:
        self._failing = self._failing or (job, time.monotonic())
        if self._throttle() is None:
            return
        if isinstance(error, StoreUnavailable):
            log.event(logging.ERROR, "connector.lost", error=str(error))
        else:
            log.event(logging.ERROR, "keeper.error", error=str(error), exc_info=error)

    def _succeeded(self, job: Job) -> None:
        if self._failing is not None and self._failing[0] is job:
            seconds = round(time.monotonic() - self._failing[1], 1)
            log.event(logging.WARNING, "connector.recovered", seconds=seconds)
            self._failing = None


class Keeper:
    """The keeper's loop. `parent` is a pidfd of its supervisor, `channel` the socket to it, `poke` an eventfd that
    workers write when they join or when a deadline is earlier than the one being waited for.
    """

    def __init__(
        self, channel: socket.socket, parent: int, poke: int, tag: int | None = None
    ) -> None:
        self.channel, self.parent, self.poke, self.tag = channel, parent, poke, tag
        self.wards: dict[str, Ward] = {}
        self.stores: dict[str, Store] = {}
        self._gone = False
        self._events: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._observers = threading.Thread(target=self._tell_observers, daemon=True)
        self._kick = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._released: list[str] = []
        self.name = f"{os.uname().nodename}:{os.getppid()}"

    def run(self) -> None:
        """Work until the supervisor says goodbye or is gone; then give back and return."""
        poll = select.poll()
        for fd in (self.channel.fileno(), self.parent, self.poke, self._kick):
            poll.register(fd, select.POLLIN)
        ticked = -1e9
        if registry().hooks("garrison_supervisor_event"):
            self._observers.start()
        while not self._gone:
            now = time.monotonic()
            if now - ticked >= TICK:
                ticked = now
                self._send({"tick": True})
            wake = min(ticked + TICK, self._look())
            for fd, _ in poll.poll(max(0.0, (wake - time.monotonic()) * 1000)):
                if fd == self.channel.fileno():
                    self._receive()
                elif fd == self.parent:
                    self._gone = True
                else:
                    with contextlib.suppress(BlockingIOError):
                        os.eventfd_read(fd)
            self._acknowledge()
        self._last_gasp()

    def _acknowledge(self) -> None:
        while self._released:
            name = self._released.pop()
            ward = self.wards.pop(name, None)
            if ward is not None:
                ward.close()
            self._send({"released": name})

    # The supervisor's words

    def _receive(self) -> None:
        try:
            data, fds, _, _ = socket.recv_fds(self.channel, 1 << 20, 4)
        except BlockingIOError:
            return
        except OSError:
            data, fds = b"", []
        if not data:
            self._gone = True
            return
        message = json.loads(data)
        if "serve" in message:
            self._serve(message, fds)
        elif "dead" in message:
            ward = self.wards.get(message["dead"])
            if ward is not None and ward.dead is None:
                ward.dead = message
            elif ward is None:
                self._released.append(message["dead"])
        elif "event" in message:
            self._events.put(message["event"])
        elif "count" in message:
            self._count(message["count"])
        elif "bye" in message:
            self._gone = True
            for store in self.stores.values():
                store.ask(("presence", "end"), lambda c: c.announce(self.name, b"", 0.001))

    def _serve(self, message: dict[str, Any], fds: list[int]) -> None:
        name = message["serve"]
        if name in self.wards:
            for fd in fds:
                os.close(fd)
            return
        store = self._store_of(message["spec"]["connector"])
        ward = self.wards[name] = Ward(name, Path(message["path"]), fds[0], message["spec"], store)
        # Its lease may be shorter than those by which the next renewal was planned.
        store.renew_at = min(store.renew_at, time.monotonic() + ward.lease / RENEWALS)

    def _count(self, name: str) -> None:
        """The supervisor wonders whether more workers would help."""
        ward = self.wards.get(name)
        if ward is None:
            return
        queue_name = ward.spec["queue"]

        def job(connector: Connector) -> None:
            self._send({"backlog": name, "ready": connector.counts(queue_name).ready})

        ward.store.ask(("count", queue_name), job)

    def _send(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):
            self.channel.send(json.dumps(message).encode())

    def _store_of(self, spec: Mapping[str, Any]) -> Store:
        key = json.dumps(spec, sort_keys=True, default=repr)
        if key not in self.stores:
            self.stores[key] = Store(spec, lambda: os.eventfd_write(self._kick, 1))
        return self.stores[key]

    # The duties

    def _look(self) -> float:
        """Do what is due for every ward; returns the monotonic time at which to look again."""
        wake = time.monotonic() + TICK
        for ward in list(self.wards.values()):
            if ward.dead is not None:
                if not ward.alive():
                    self._release(ward)
                continue
            wake = min(wake, self._behind_slow_task(ward))
        now = time.monotonic()
        for store in self.stores.values():
            if store.renew_at <= now:
                self._renew(store)
            wake = min(wake, store.renew_at)
        looking = page.now() + max(0, int((wake - time.monotonic()) * 1e9))
        for ward in self.wards.values():
            ward.page.words[page.LOOKING] = looking
        return wake

    def _renew(self, store: Store) -> None:
        """Renew all consumers of a store, one request for each length of lease, and say who is here."""
        wards = [ward for ward in self.wards.values() if ward.store is store and ward.dead is None]
        leases = sorted({ward.lease for ward in wards}) or [3 * TICK]
        store.renew_at = time.monotonic() + leases[0] / RENEWALS
        for lease in leases:
            mine = [ward for ward in wards if ward.lease == lease]
            if any(True for ward in mine for _ in ward.page.joins()):
                job = functools.partial(self._renew_now, wards=mine, lease=lease)
                store.ask(("renew", lease), job, urgent=True)
        if wards:
            store.ask(
                ("presence",), lambda c: c.announce(self.name, self._presence(wards), leases[-1])
            )

    def _renew_now(self, connector: Connector, wards: list[Ward], lease: float) -> None:
        with contextlib.suppress(
            ValueError
        ):  # a page that was unmapped meanwhile: its worker has ended
            joined = [(ward, index, join) for ward in wards for index, join in ward.page.joins()]
            sent = page.now()
            lost = set(
                connector.renew([(join.queue, join.consumer) for _, _, join in joined], lease)
            )
            for ward, index, join in joined:
                if (
                    index == 0
                    and (join.queue, join.consumer) not in lost
                    and join in dict(ward.page.joins()).values()
                ):
                    ward.page.words[page.LEASE_UNTIL] = sent + int(lease * 1e9)  # R7

    def _presence(self, wards: list[Ward]) -> bytes:
        """The presence record of this tree: what `garrison queues` and `workers` on other hosts show."""
        here = [
            {"worker": ward.name, "pid": ward.page.words[page.PID], "queue": ward.spec["queue"],
             "tasks": ward.page.words[page.TASKS], "rate": round(ward.rate(), 2)}
            for ward in wards
        ]  # fmt: skip
        return json.dumps(
            {"host": os.uname().nodename, "pid": os.getppid(), "workers": here}
        ).encode()

    def _behind_slow_task(self, ward: Ward) -> float:
        """Settle what is done, and revoke what waits, while every slot is busy with something slow.

        Returns when to look again. What counts is how long ago the worker last started anything: a slot that
        runs for a day keeps nobody waiting while others go on.
        """
        sheet, words = ward.page, ward.page.words
        if not any(phase in page.OPEN for _, _, phase in sheet.numbers()):
            return float("inf")
        join = next((join for index, join in sheet.joins() if index == 0), None)
        if join is None:
            return float("inf")
        newest = max(words[page.slot_index(slot) + page.START] for slot, _, _ in sheet.numbers())
        idle, wake = (page.now() - newest) / 1e9, float("inf")
        base, last, highest = words[page.BASE], words[page.LAST], sheet.highest()
        first = join.first if words[page.SLOTS] > 1 else max(join.first, base)
        spans = [span for span in sheet.finished(first) if span[1] > ward.settled]
        if spans and idle >= ward.settle:
            self._settle(ward, join, spans)
        elif spans:
            wake = time.monotonic() + ward.settle - idle
        revoked = sheet.revoked()
        if revoked is not None and revoked[0] >= base:
            if ward.revoked != revoked:  # written by a keeper that died before it was answered (R9)
                self._take_back(ward, join, (max(revoked[0], highest + 1), revoked[1]))
                ward.revoked = revoked
        elif ward.give_back is not None and highest < last:
            if idle >= ward.give_back:
                self._revoke(ward, join, max(highest + 1, base), last)
            else:
                wake = min(wake, time.monotonic() + ward.give_back - idle)
        return wake

    def _settle(self, ward: Ward, join: page.Join, spans: list[Span]) -> None:
        def job(connector: Connector) -> None:
            connector.release(join.queue, join.consumer, spans, {}, only=NOTHING)
            ward.settled = max(ward.settled, spans[-1][1])

        ward.store.ask(("settle", ward.name), job)

    def _revoke(self, ward: Ward, join: page.Join, low: int, last: int) -> None:
        """R13: write the range, once a batch; wait a moment; release what lies above all that is noted by then."""
        sheet = ward.page
        sheet.revoke(low, last)
        ward.revoked = (low, last)
        time.sleep(DRAIN_WAIT)
        self._take_back(ward, join, (max(low, sheet.highest() + 1), last))

    def _take_back(self, ward: Ward, join: page.Join, span: Span) -> None:
        if span[0] > span[1]:
            return
        fields: dict[str, Any] = {
            "worker": ward.name,
            "queue": join.queue,
            "first": span[0],
            "last": span[1],
        }
        log.event(logging.DEBUG, "keeper.took_back", **fields)
        ward.store.ask(
            ("revoke", ward.name, span),
            lambda c: c.release(join.queue, join.consumer, (), {}, only=span),
        )

    def _release(self, ward: Ward) -> None:
        """R2: after a death, settle what is surely done, name the suspects, and give back the rest."""
        plan = release_plan(ward.page, ward.dead or {}, once=ward.once)

        def job(connector: Connector) -> None:
            for queue_name, consumer, spans, suspects in plan:
                connector.release(queue_name, consumer, spans, suspects, close=True)
            self._released.append(ward.name)

        ward.store.ask(("release", ward.name), job)

    def _tell_observers(self) -> None:
        """The body of a thread: observers of the supervisor may be slow, and hold nobody up but each other."""
        while (told := self._events.get()) is not None:
            for _, call in registry().hooks("garrison_supervisor_event"):
                log.tell(call, told)

    def _last_gasp(self) -> None:
        """The supervisor is gone: wait for the workers' ends, give back what they held, uncounted."""
        deadline = time.monotonic() + LAST_GASP
        if self.tag is not None:
            end_tagged(
                self.tag, LAST_GASP
            )  # the workers have ended with it; what they forked has not
        for ward in list(self.wards.values()):
            if select.select([ward.pidfd], [], [], max(0.0, deadline - time.monotonic()))[0]:
                ward.dead = ward.dead or {"interrupted": True}
                self._release(ward)
        while (
            any(ward.dead is not None for ward in self.wards.values())
            and time.monotonic() < deadline
        ):
            select.select([self._kick], [], [], 0.02)
            self._acknowledge()
        while any(store.waiting for store in self.stores.values()) and time.monotonic() < deadline:
            time.sleep(0.005)
        if self._observers.is_alive():
            self._events.put(None)
            self._observers.join(max(0.0, deadline - time.monotonic()))


_INTERRUPTED = {"kind": "interrupted", "reason": "its worker was ended for another reason"}


def release_plan(
    sheet: Page, dead: Mapping[str, Any], *, once: bool = False
) -> Iterable[tuple[str, str, list[tuple[int, int]], dict[int, bytes]]]:
    """(queue, consumer, done, suspects) of each consumer that a page names, judged after its worker's death.

    `dead` holds `notes` (number -> note for what was struck, everything else being a neighbor), or `note` (for
    whatever had started), or `interrupted` (nothing is suspect). `once`: what has started must not run a second time
    (`delivery="at_most_once"`), so that it is counted even if it was merely interrupted.
    """
    plan = []
    struck = {int(number): note for number, note in dead.get("notes", {}).items()}
    merely_interrupted = bool(dead.get("interrupted") or struck)
    for index, join in sheet.joins():
        suspects: dict[int, bytes] = {}
        if index == 0:
            spans = sheet.finished(join.first)
            for _, number, phase in sheet.numbers():
                if phase not in (page.STARTED, page.ENDED, page.JUDGING) or number < join.first:
                    continue
                if number in struck:
                    suspects[number] = json.dumps(struck[number]).encode()
                elif not merely_interrupted:
                    # R18: a judge that was killed counts, and the note it judged stays.
                    note = (
                        b"" if phase == page.JUDGING else json.dumps(dead.get("note", {})).encode()
                    )
                    suspects[number] = note
                elif once and phase != page.JUDGING:
                    suspects[number] = json.dumps(_INTERRUPTED).encode()
        else:
            spans = []
            if once or not merely_interrupted:
                note = json.dumps(dead.get("note", _INTERRUPTED)).encode()
                suspects = dict.fromkeys(range(join.first, join.last + 1), note)
        plan.append((join.queue, join.consumer, spans, suspects))
    return plan


def start(channel: socket.socket, parent: int, poke: int, tag: int | None = None) -> None:
    """Be the keeper: the body of the forked process."""
    import signal

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    Keeper(channel, parent, poke, tag).run()
