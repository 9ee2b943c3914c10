"""The keeper: the one process of a tree that speaks to the stores for its workers.

It renews every consumer, settles what a busy worker has marked done, takes back what waits behind a slow task, and gives
back what a dead worker held. All it needs stands on the pages, so a new keeper goes on where a dead one stopped.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import os
import select
import signal
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from regiment import log
from regiment.contracts import Connector, Span
from regiment_runner.keeper.boards import Boards
from regiment_runner.keeper.books import Books
from regiment_runner.keeper.presence import Presence
from regiment_runner.keeper.release import release_plan
from regiment_runner.keeper.store import URGENT, Store
from regiment_runner.keeper.telling import Telling
from regiment_runner.keeper.ward import NOTHING, Ward
from regiment_runner.shared import crossing, messages, page, process
from regiment_runner.shared.annex import left_of, records, spans_of
from regiment_runner.shared.descendants import end_tagged
from regiment_runner.shared.page import DRAIN_WAIT
from regiment_runner.shared.polling import readable
from regiment_runner.shared.silence import RENEWALS

TICK = 1.0
"""Seconds between two signs of life to the supervisor, and between two looks while something runs."""

LONGEST = 60.0
"""Seconds between two looks while nothing runs and the supervisor asks for no sign of life."""

LAST_GASP, LAST_WORDS = 0.9, 0.5
"""Seconds that a keeper without a supervisor may spend on giving back, and those it has in any case for saying what was counted."""


HUNG = 5.0
"""Seconds of processor time between two signs of life after which a keeper ends, whether or not a supervisor is there to
replace it."""


class Keeper:
    """The keeper's loop. `parent` is a pidfd of its supervisor, `channel` the socket to it, `poke` an eventfd that
    workers write when they join or when a deadline is earlier than the one being waited for.
    """

    def __init__(self, channel: socket.socket, parent: int, poke: int, tag: int | None = None) -> None:
        self.channel, self.parent, self.poke, self.tag = channel, parent, poke, tag
        self._in, self._out = crossing.Inbox[messages.ToKeeper](), crossing.Outbox(channel)
        self.wards: dict[str, Ward] = {}
        self.stores: dict[str, Store] = {}
        self._gone = self._dozing = False
        self._ticked = -1e9
        self.telling = Telling(self._surely)
        self._kick = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._released: list[str] = []
        self.name = f"{os.uname().nodename}:{os.getppid()}"
        self.boards, self.books = Boards(self.name, self._send), Books()
        self.presence = Presence(self.name)

    def run(self) -> None:
        """Work until the supervisor says goodbye or is gone; then give back and return."""
        poll = select.poll()
        for fd in (self.channel.fileno(), self.parent, self.poke, self._kick):
            poll.register(fd, select.POLLIN)
        self.telling.hear_the_log()
        while not self._gone:
            now = time.monotonic()
            if self._dozing or now - self._ticked >= TICK:
                process.end_if_hung(HUNG)
            if not self._dozing and now - self._ticked >= TICK:
                self._ticked = now
                if not self._out:  # else there is enough on its way to be heard by
                    self._send({"tick": True})
            wake = self._look() if self._dozing else min(self._ticked + TICK, self._look())
            for fd, _ in poll.poll(max(0.0, (wake - time.monotonic()) * 1000)):
                if fd == self.channel.fileno():
                    self._receive()
                elif fd == self.parent:
                    self._gone = True
                else:
                    with contextlib.suppress(BlockingIOError):
                        os.eventfd_read(fd)
            self._acknowledge()
            self._out.flush()
        self._last_gasp()

    def _acknowledge(self) -> None:
        """Say first what was given back, then tell the plugins: one that takes this process down does so once, not for ever."""
        names: list[str] = []
        while self._released:  # threads of the stores add to it
            names.append(name := self._released.pop())
            ward = self.wards.pop(name, None)
            if ward is not None:
                self.boards.forget(ward)
                ward.close()
            self._send(self.telling.released(name))
        self._out.flush()
        for name in names:
            self.telling.of(name)

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
        message = self._in.add(data)
        if message is None:
            return
        if "serve" in message:
            self._serve(message, fds)
        elif "dead" in message:
            ward = self.wards.get(message["dead"])
            if ward is not None and ward.dead is None:
                ward.dead = message
                self.presence.ended(ward, message.get("end", {}))
                self.telling.end(ward.name, ward.page, ward.spec, message.get("end", {}))
            elif ward is None:
                self._released.append(message["dead"])
        elif "untold" in message:
            self.telling.go_on(message)
        elif "event" in message:
            self.telling.event(message["event"], "supervisor")
        elif "count" in message:
            self._count(message["count"])
        elif "doze" in message:
            self._dozing, self._ticked = message["doze"], -1e9
        elif "bye" in message:
            self._gone = True
            for store in self.stores.values():
                self.presence.over(store)

    def _serve(self, message: messages.Serve, fds: list[int]) -> None:
        name = message["serve"]
        if name in self.wards:
            for fd in fds:
                os.close(fd)
            return
        store = self._store_of(message["spec"]["connector"])
        ward = self.wards[name] = Ward(name, Path(message["path"]), fds[0], message["spec"], store)
        self.books.open(ward)
        self.presence.joined(store, self.wards.values())
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

    def _send(self, message: messages.FromKeeper) -> None:
        self._out.send(message)

    def _surely(self, message: messages.FromKeeper) -> None:
        """Send, and return when it is sent. Not for the loop."""
        self._send(message)
        while self._out:
            time.sleep(0.005)
            self._out.flush()

    def _store_of(self, spec: Mapping[str, Any]) -> Store:
        key = json.dumps(spec, sort_keys=True, default=repr)
        if key not in self.stores:
            self.stores[key] = Store(spec, lambda: os.eventfd_write(self._kick, 1))
        return self.stores[key]

    # The duties

    def _look(self) -> float:
        """Do what is due for every ward; returns the monotonic time at which to look again."""
        wake = time.monotonic() + (LONGEST if self._dozing else TICK)
        for ward in list(self.wards.values()):
            ward.page.damage()  # then it shows nothing: nothing is renewed or settled for it, and its lease ends
            if ward.dead is not None:
                if not ward.alive():
                    self._release(ward)
                continue
            wake = min(wake, self._behind_slow_task(ward))
        now = time.monotonic()
        for store in self.stores.values():
            if store.renew_at <= now:
                self._renew(store)
            elif store.announce_at <= now:
                self.presence.tell(store, self.wards.values(), self._longest_lease(store))
            wake = min(wake, store.renew_at, store.announce_at)
        if self.books.due <= now:
            self.books.tell(self.stores.values())
        wake = min(wake, self.books.due, self.boards.look(self.wards.values()))
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
                store.ask(("renew", lease), job, turn=URGENT, quiet=True)
        self.boards.renewed(wards)
        if wards:
            self.presence.tell(store, wards, leases[-1])

    def _longest_lease(self, store: Store) -> float:
        return max((ward.lease for ward in self.wards.values() if ward.store is store), default=3 * TICK)

    def _renew_now(self, connector: Connector, wards: list[Ward], lease: float) -> None:
        with contextlib.suppress(ValueError):  # a page that was unmapped meanwhile: its worker has ended
            for ward in wards:
                ward.page.damage()
            joined = [(ward, index, join) for ward in wards for index, join in ward.page.joins()]
            sent = page.now()
            lost = set(connector.renew([(join.queue, join.consumer) for _, _, join in joined], lease))
            for ward, index, join in joined:
                if index == 0 and (join.queue, join.consumer) not in lost and join in dict(ward.page.joins()).values():
                    ward.page.words[page.LEASE_UNTIL] = sent + int(lease * 1e9)  # R7

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
        idle, wake = max(0, page.now() - newest) / 1e9, time.monotonic() + TICK
        base, last, highest = words[page.BASE], words[page.LAST], sheet.highest()
        first = join.first if words[page.SLOTS] > 1 else max(join.first, base)
        spans = [span for span in sheet.finished(first) if span[1] > ward.settled]
        some = spans or words[page.END_A] or words[page.END_B]
        if some and idle >= ward.settle:
            self._settle(ward, join, spans, first)
        elif some:
            wake = min(wake, time.monotonic() + ward.settle - idle)
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

    def _settle(self, ward: Ward, join: page.Join, spans: list[Span], first: int) -> None:
        """Settle for a worker that is busy: `spans`, and what has records that are not known to be settled (E3)."""
        found, _ = records(ward.page, first)
        ward.recorded &= found.keys()
        left = left_of(found, ward.recorded)
        effects = {number: said for number, said in left.items() if said}
        extra: dict[str, Any] = {"effects": effects} if effects else {}
        if not spans and not left:
            return

        def job(connector: Connector) -> None:
            connector.release(join.queue, join.consumer, [*spans, *spans_of(left)], {}, only=NOTHING, **extra)
            ward.settled = max(ward.settled, *(span[1] for span in spans), 0)
            ward.recorded |= left.keys()

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
        """R2, E3: after a death, settle what is surely done, name the suspects, and give back the rest."""
        ward.page.damage()
        self.books.close(ward)
        plan = release_plan(ward.page, ward.dead or {}, once=ward.once)

        def job(connector: Connector) -> None:
            for said in plan:
                extra: dict[str, Any] = {"effects": said.effects} if said.effects else {}
                connector.release(said.queue, said.consumer, said.done, said.suspects, close=True, **extra)
            self._released.append(ward.name)

        ward.store.ask(("release", ward.name), job)

    def _last_gasp(self) -> None:
        """The supervisor is gone: wait for the workers' ends, give back what they held, uncounted."""
        deadline = time.monotonic() + LAST_GASP
        if self.tag is not None:
            end_tagged(self.tag, LAST_GASP)  # the workers have ended with it; what they forked has not
        for ward in list(self.wards.values()):
            if readable(ward.pidfd, deadline - time.monotonic()):
                ward.dead = ward.dead or {"interrupted": True}
                self._release(ward)
        while any(ward.dead is not None for ward in self.wards.values()) and time.monotonic() < deadline:
            readable(self._kick, 0.02)
            self._acknowledge()
        self.books.tell(self.stores.values(), last=True)
        deadline = max(deadline, time.monotonic() + LAST_WORDS)
        while any(store.waiting for store in self.stores.values()) and time.monotonic() < deadline:
            time.sleep(0.005)
        self.telling.stop(max(0.0, deadline - time.monotonic()))


def start(channel: socket.socket, parent: int, poke: int, tag: int | None = None) -> None:
    """Be the keeper: the body of the forked process."""
    crossing.take_no_notice(crossing.HEARD)
    log.passing = ()  # no signal raises anything here: what comes out of an observer is the observer's
    process.hear_of_the_end(signal.SIGCONT)  # a keeper that is stopped goes on, to give back
    Keeper(channel, parent, poke, tag).run()
