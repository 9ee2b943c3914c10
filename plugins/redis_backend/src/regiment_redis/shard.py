"""One Redis, which is a server, the primary behind sentinels, or a cluster: pushing, the lease, waiting."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Any

from regiment.contracts import Done, Role, Settlement, Span, Taken, Terms
from regiment.contracts.effects import Applied, Effect, Followed, Record, Tally, When
from regiment.errors import Fenced, QueueFull, StoreError
from regiment_redis import server
from regiment_redis.asking import EXCHANGE, PRIORITIES, Asking, ms
from regiment_redis.budgets import Budgets
from regiment_redis.commands import Commands
from regiment_redis.effective import RENEWING, Effects, Leaving
from regiment_redis.effects import Places
from regiment_redis.hearing import Ear
from regiment_redis.ledger import Ledger
from regiment_redis.link import ClusterLink, HasLanes, Link, NoLanes, Scripts
from regiment_redis.names import Names
from regiment_redis.outbox import WAITS, Door, Outbox
from regiment_redis.people import People
from regiment_redis.receipts import LARGEST, low_spans, lowered, raised
from regiment_redis.records import deliveries
from regiment_redis.scripts import Script
from regiment_redis.steering import Hand
from regiment_redis.swift import Swifts
from regiment_redis.tokens import place
from regiment_redis.waiting import Watch
from regiment_redis.wire import Part, Refusal, Wire

REMEMBER = 60.0
"""Seconds after which a queue's name is written into the list of queues again, should somebody have emptied the store."""
RENEWED = 100
"""Leases that one script renews."""

_PUSH, _JOIN, _RENEW, _RELEASE = (Script(n) for n in ("push", "join", "renew", "release"))

_new: Any = tuple.__new__
NONE: Effects = MappingProxyType({})
"""No effects."""


class Shard:
    """One Redis as a store of tasks: pushes and the lease here, the other verbs of a connector in `people`, `hand` and `names`."""

    def __init__(self, root: Link, prefix: str) -> None:
        self.root, self.prefix = root, prefix
        self._scripts = Scripts(root)
        self._clustered = isinstance(root, ClusterLink)
        self._run = self._scripts.run
        self.watch = Watch(root)
        self.ear = Ear([root], self.stem)
        self._stems: dict[str, str] = {}
        self._listed: dict[str, float] = {}
        self._due: dict[tuple[str, str], float] = {}
        self._asking, self._swifts = Asking(), Swifts()
        self.people = People(self._scripts, self.stem, self._queues, self._list)
        self.hand = Hand(self._run, self.stem)
        self.budgets = Budgets(self._scripts, self.stem, self._list, self.people.counts)
        self.ledger = Ledger(self._scripts, self.stem, self.budgets.begin)
        self._commands = Commands(self._scripts, self.stem, self.budgets.begin, self._asking)
        self.names = Names(root, prefix, self._scripts, self.watch)
        self._several = self._clustered
        self.door = Door(self._scripts, lambda stem: self._list(stem[len(prefix) + 2 : -1]))
        self.place(Places(self.stem, clustered=self._clustered), Outbox([self.door]), 0)

    def place(self, places: Places, outbox: Outbox, node: int, several: bool = False) -> None:
        """Say what can be reached from here, and which of several nodes this is."""
        self._several = self._clustered or several
        self.leaving = Leaving(self._scripts, self.stem, self._list, places, outbox, node)

    # Life

    def open(self, role: Role) -> None:
        """Connect and look whether this is a server to keep tasks on."""
        self.root.closed = False
        server.examine(self.root, self.prefix, role)

    def close(self) -> None:
        self.watch.close()
        self.ear.close()
        self.root.close()
        self.root.closed = True

    def warnings(self) -> list[str]:
        """What a server that works does not promise; one sentence each."""
        links = self.root.links() if isinstance(self.root, ClusterLink) else [self.root.link("")]
        return [text for link in links for text in server.warnings(link)]

    def stem(self, queue: str) -> str:
        """The first part of all keys of a queue."""
        stem = self._stems.get(queue)
        if stem is None:
            stem = self._stems[queue] = f"{self.prefix}:{{{queue}}}"
        return stem

    def _list(self, queue: str) -> None:
        now = time.monotonic()
        if self._listed.get(queue, 0.0) < now:
            key = f"{self.prefix}:queues"
            self.root.link(key).command("SADD", key, queue, pushing=True)
            self._listed[queue] = now + REMEMBER

    def _queues(self) -> Iterable[bytes]:
        key = f"{self.prefix}:queues"
        found: Iterable[bytes] = self.root.link(key).command("SMEMBERS", key)
        return found

    # Tasks

    def push(
        self,
        queue: str,
        payloads: Sequence[bytes],
        *,
        priority: int,
        delay: float,
        at: float | None,
        token: str,
        ids: Sequence[str] | None,
        id_window: float,
        token_window: float,
    ) -> Sequence[int]:
        if priority not in PRIORITIES:
            raise ValueError(f"priority is {priority!r}; the redis connector has 0 to 9")
        if ids is not None and len(ids) != len(payloads):
            raise ValueError(f"{len(ids)} ids for {len(payloads)} payloads; expected one for each")
        if not payloads:
            return ()
        self._list(queue)
        window = max(ms(token_window), 1)
        part, bit = (f":{token}", "") if ids else place(token, window)
        left_out = self._run(
            _PUSH,
            self.stem(queue),
            part,
            window,
            priority,
            f"={ms(at)}" if at is not None else f"+{ms(delay)}" if delay > 0 else "",
            bit,
            ms(id_window),
            len(ids) if ids else 0,
            *(ids or ()),
            *payloads,
            pushing=True,
        )
        return [int(index) for index in left_out.split(b",")] if left_out else ()

    def join(self, queue: str, consumer: str, terms: Terms) -> None:
        with suppress(QueueFull):  # who drains a full server need not be listed there
            self._list(queue)
        self._commands.joins(queue, consumer, terms.slots)
        delays = ",".join(str(ms(delay)) for delay in terms.poison_delays)
        bounds = (terms.dead_limit, ms(terms.dead_age))
        if not self._run(_JOIN, self.stem(queue), consumer, ms(terms.lease), delays, *bounds):
            raise _fenced(queue, consumer)

    def renew(self, consumers: Sequence[tuple[str, str]], seconds: float) -> Sequence[tuple[str, str]]:
        unknown, fenced = self.renewed(consumers, seconds)
        return [*unknown, *fenced]

    def renewed(
        self, consumers: Sequence[tuple[str, str]], seconds: float
    ) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        """Renew; those that are not known here, and those that are fenced."""
        queues: dict[str, list[str]] = {}
        for queue, consumer in consumers:
            queues.setdefault(queue, []).append(consumer)
        # Ten thousand in one script would stop the server for as long as it takes to renew them.
        asked = [(queue, all[i : i + RENEWED]) for queue, all in queues.items() for i in range(0, len(all), RENEWED)]
        calls: list[tuple[str, list[Part]]] = [(self.stem(queue), [ms(seconds), *some]) for queue, some in asked]
        if self._several:
            replies = self._scripts.run_all(RENEWING, calls)
            for (stem, _), reply in zip(calls, replies, strict=True):
                if reply[2] >= WAITS:
                    self.leaving.send_on(stem)
        else:
            replies = self._scripts.run_all(_RENEW, calls)
        unknown = [(queue, c.decode()) for (queue, _), lost in zip(asked, replies, strict=True) for c in lost[0]]
        fenced = [(queue, c.decode()) for (queue, _), lost in zip(asked, replies, strict=True) for c in lost[1]]
        return unknown, fenced

    def exchange(
        self,
        queue: str,
        consumer: str,
        turn: int,
        base: int,
        settlements: Sequence[Settlement],
        limit: int,
        max_bytes: int,
        holds_nothing: bool = False,
        gaps: bool = False,
        *,
        effects: Effects = NONE,
        again: StoreError | None = None,
    ) -> Taken:
        if base > LARGEST - limit:
            high = (max_bytes, holds_nothing, gaps)
            return self._high_exchange(queue, consumer, turn, base, settlements, limit, high, effects)
        stem = self._stems.get(queue) or self.stem(queue)
        link = self.root.link(stem) if self._clustered else self.root
        wire = link.wire
        if wire is None or not wire.open:
            wire = link.ready()
        who = (queue, consumer)
        if who in self._swifts.ready and holds_nothing and limit and not effects:
            taken = self._swifts.exchange(who, wire, (turn, base), settlements, limit, max_bytes)
            if taken is not None:
                return taken
            wire = link.ready()
        script, bounds = EXCHANGE, (limit, max_bytes, (1 if holds_nothing else 0) + (2 if gaps else 0))
        if not (effects or self._scripts.lanes or settlements):
            command = self._asking.ordinary(stem, consumer, turn, base, bounds)
        elif not (effects or self._scripts.lanes) and len(settlements) == 1 and type(done := settlements[0]) is Done:
            command = self._asking.ordinary(stem, consumer, turn, base, bounds, done)
        else:
            some = (queue, consumer, (turn, base), bounds, settlements, effects)
            command, script = self._commands.of(self.leaving, *some)
        reply = wire.ask(command)
        if type(reply) is not list:
            if isinstance(reply, Refusal):
                try:
                    reply = self._scripts.again(link, wire, script, command, reply)
                except (HasLanes, NoLanes) as error:
                    self._commands.learn(stem, script, error, again)
                    rest = (settlements, limit, max_bytes, holds_nothing, gaps)
                    return self.exchange(queue, consumer, turn, base, *rest, effects=effects, again=error)
            if reply == 0:
                raise _fenced(queue, consumer)
        return self._answer(who, stem, wire, (turn, base), reply, holds_nothing and not (gaps or effects))

    def _answer(
        self, who: tuple[str, str], stem: str, wire: Wire, number: tuple[int, int], reply: list[Any], alone: bool
    ) -> Taken:
        """The answer of an ordinary exchange of turn and base `number`. `alone`: what it leased is all that the consumer holds."""
        due, board, lost, elements, now, look, *receipts = reply
        if board >= WAITS:
            board -= WAITS
            self.leaving.send_on(stem)
        if not elements:
            return self._nothing(*who, lost, due, board)
        if look and alone and not lost:
            self._swifts.follow(who, stem, wire, number, len(elements), (due, board, now, look))
        answer: Taken = _new(Taken, (lost, deliveries(number[1], elements, receipts, now), due / 1000, board))
        return answer

    def _nothing(self, queue: str, consumer: str, lost: Sequence[int], due: int, board: int) -> Taken:
        """The answer of an exchange that leased nothing. What a wait that follows has to know: it ends by itself when something is due."""
        if len(self._due) > 1000:
            self._due.clear()
        self._due[queue, consumer] = math.inf if due < 0 else time.monotonic() + due / 1000
        return Taken(lost, (), None if due < 0 else due / 1000, board)

    def _high_exchange(
        self,
        queue: str,
        consumer: str,
        turn: int,
        base: int,
        settlements: Sequence[Settlement],
        limit: int,
        rest: tuple[int, bool, bool],
        effects: Effects,
    ) -> Taken:
        limit = min(limit, LARGEST - (base & LARGEST))
        low = lowered(settlements)
        lower = {receipt & LARGEST: some for receipt, some in effects.items()}
        taken = self.exchange(queue, consumer, turn, base & LARGEST, low, limit, *rest, effects=lower)
        return raised(taken, base, limit)

    def release(
        self,
        queue: str,
        consumer: str,
        done: Sequence[Span],
        suspects: Mapping[int, bytes],
        *,
        only: Span | None,
        close: bool,
        effects: Effects = NONE,
    ) -> None:
        first: int | str = ""
        last: int | str = ""
        if only is not None:
            (first, last), *rest = low_spans(*only)
            if rest:
                self.release(
                    queue,
                    consumer,
                    done,
                    suspects,
                    only=(only[0], only[1] - rest[0][1] - 1),
                    close=False,
                    effects=effects,
                )
                first, last = rest[0]
        spans = [number for span in done for low in low_spans(*span) for number in low]
        notes = [part for receipt, note in suspects.items() for part in (receipt & LARGEST, note)]
        args = (consumer, int(close), first, last, len(spans) // 2, *spans, *notes)
        if effects or self._several:
            lower = {receipt & LARGEST: some for receipt, some in effects.items()}
            pairs = list(zip(spans[::2], spans[1::2], strict=True))
            self.leaving.release(queue, self.stem(queue), consumer, args, pairs, lower)
        else:
            self._run(_RELEASE, self.stem(queue), *args)

    # Effects without a lease

    def apply(
        self, queue: str, effects: Sequence[Effect], token: str, token_window: float, when: Sequence[When]
    ) -> Applied:
        return self.leaving.apply(queue, effects, token, token_window, when)

    def records(self, queue: str, keys: Sequence[str]) -> list[Record | None]:
        return self.leaving.records(queue, keys)

    def listed(self, queue: str, limit: int, after: str | None) -> list[str]:
        return [key for _, key in self.leaving.listed(queue, max(limit, 0), after=after)]

    def tallies(self, queue: str, joins: Sequence[str]) -> list[Tally | None]:
        return self.leaving.tallies(queue, joins)

    def follow(self, keys: Mapping[Followed, int], seconds: float) -> dict[Followed, Record]:
        self.ear.follows(keys, seconds)
        return self.leaving.follow(self.ear.name, keys, seconds)

    # Waiting

    def wait(self, consumers: Sequence[tuple[str, str]], seconds: float, wake_fd: int | None) -> Sequence[str]:
        marks, left, ripe = self.waits(consumers, seconds)
        return self.watch.wait(marks, left, wake_fd, exact=bool(ripe) or seconds < 1) or ripe

    def waits(self, consumers: Sequence[tuple[str, str]], seconds: float) -> tuple[dict[str, str], float, list[str]]:
        """What a wait of these consumers watches: lists of marks and their queues; the seconds until a task is due that
        their last exchanges knew of, at most `seconds`; and the queues that are ripe then.
        """
        now = time.monotonic()
        due = {queue: self._due.get((queue, consumer), math.inf) - now for queue, consumer in consumers}
        left = max(0.0, min(seconds, *due.values())) if due else seconds
        ripe = [queue for queue, then in due.items() if then <= left]
        return {f"{self.stem(queue)}:wake": queue for queue, _ in consumers}, left, ripe


def _fenced(queue: str, consumer: str) -> Fenced:
    why = "it was taken for dead, was closed, or spoke out of turn"
    return Fenced(f'the queue "{queue}" does not know the consumer {consumer} (any more): {why}')
