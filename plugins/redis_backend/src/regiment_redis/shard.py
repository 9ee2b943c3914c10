"""The verbs on one Redis: a server, the primary behind sentinels, or a cluster."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import count, repeat
from operator import itemgetter
from struct import unpack_from
from typing import Any, Literal

from regiment.contracts import (
    Again,
    Back,
    Board,
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
from regiment.errors import Fenced, QueueFull, StoreError, StoreUnavailable
from regiment_redis.link import ClusterLink, Link, Scripts, field
from regiment_redis.reach import pack
from regiment_redis.scripts import Script
from regiment_redis.waiting import Watch
from regiment_redis.wire import Part, Refusal

LAYOUT = 1
PRIORITIES = range(10)
LARGEST = 2**52 - 1
"""Receipts are numbers of Lua in the scripts, which are doubles."""
REMEMBER = 60.0
"""Seconds after which a queue's name is written into the list of queues again, should somebody have emptied the store."""

_EXCHANGE, _PUSH, _JOIN, _RENEW, _RELEASE = (Script(n) for n in ("exchange", "push", "join", "renew", "release"))
_COUNTS, _PEEK, _PURGE, _BOARD, _POST = (Script(n) for n in ("counts", "peek", "purge", "board", "post"))
_LETTERS, _REVIVE, _DROP = (Script(n) for n in ("letters", "revive", "drop"))
_LOCK_TAKE, _LOCK_FREE = Script("lock_take"), Script("lock_free")
_ANNOUNCE, _PRESENCE = Script("announce"), Script("presence")

_body = itemgetter(slice(10, None))
_new: Any = tuple.__new__


def ms(seconds: float) -> int:
    """Whole milliseconds, never too early."""
    return math.ceil(min(seconds, 1e11) * 1000 - 1e-6)


def _after_count(command: bytes) -> bytes:
    """A packed command without its first line, which says how many parts it has."""
    return command[command.index(b"\n") + 1 :]


class Shard:
    """One Redis as a store of tasks. The verbs are those of `regiment.contracts.Connector`."""

    def __init__(self, root: Link, prefix: str) -> None:
        self.root, self.prefix = root, prefix
        self._scripts = Scripts(root)
        self._clustered = isinstance(root, ClusterLink)
        self._run = self._scripts.run
        self.watch = Watch(root)
        self._stems: dict[str, str] = {}
        self._listed: dict[str, float] = {}
        self._due: dict[tuple[str, str], float] = {}
        self._heads: dict[tuple[str, str], bytes] = {}
        self._middles: dict[tuple[int, int, int], bytes] = {}

    # Life

    def open(self, role: Role) -> None:
        """Connect and look whether this is a server to keep tasks on."""
        key = f"{self.prefix}:layout"
        link = self.root.link(key)
        state: Any = link.command("ROLE") if role != "look" else [b"master"]
        if state[0] == b"slave":
            primary = f"{_text(state[1])}:{state[2]}"
            where = link.ready().where
            link.close()
            raise StoreError(
                f"{where} is a replica of {primary}, which takes no tasks; name the primary, or use redis+sentinel://"
            )
        found = link.command("GET", key)
        if found is None and role != "look":
            link.command("SETNX", key, LAYOUT)
        elif found is not None and found != b"%d" % LAYOUT:
            raise StoreError(
                f'{self.root.address} holds the layout {_text(found)} under the prefix "{self.prefix}"; '
                f"this regiment-redis reads layout {LAYOUT}. Upgrade regiment-redis, or choose another prefix"
            )

    def close(self) -> None:
        self.watch.close()
        self.root.close()

    def warnings(self) -> list[str]:
        """What a server that works does not promise; one sentence each."""
        links = self.root.links() if isinstance(self.root, ClusterLink) else [self.root.link("")]
        return [text for link in links for text in _warnings(link)]

    def _stem(self, queue: str) -> str:
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
        if self._listed.get(queue, 0.0) < time.monotonic():
            self._list(queue)
        mode, due = ("at", ms(at)) if at is not None else ("in", ms(delay)) if delay > 0 else ("now", 0)
        left_out = self._run(
            _PUSH,
            self._stem(queue),
            token,
            max(ms(token_window), 1),
            priority,
            mode,
            due,
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
        delays = ",".join(str(ms(delay)) for delay in terms.poison_delays)
        if not self._run(
            _JOIN,
            self._stem(queue),
            consumer,
            ms(terms.lease),
            delays,
            terms.dead_limit,
            ms(terms.dead_age),
        ):
            raise _fenced(queue, consumer)

    def renew(self, consumers: Sequence[tuple[str, str]], seconds: float) -> Sequence[tuple[str, str]]:
        unknown, fenced = self.renewed(consumers, seconds)
        return [*unknown, *fenced]

    def renewed(
        self, consumers: Sequence[tuple[str, str]], seconds: float
    ) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        """Renew; those that are not known here, and those that are fenced."""
        queues: dict[str, list[Part]] = {}
        for queue, consumer in consumers:
            queues.setdefault(queue, [ms(seconds)]).append(consumer)
        replies = self._scripts.run_all(_RENEW, [(self._stem(queue), args) for queue, args in queues.items()])
        unknown = [(queue, c.decode()) for queue, lost in zip(queues, replies, strict=True) for c in lost[0]]
        fenced = [(queue, c.decode()) for queue, lost in zip(queues, replies, strict=True) for c in lost[1]]
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
    ) -> Taken:
        if base > LARGEST - limit:
            return self._high_exchange(queue, consumer, turn, base, settlements, limit, max_bytes, holds_nothing, gaps)
        stem = self._stems.get(queue) or self._stem(queue)
        link = self.root.link(stem) if self._clustered else self.root
        wire = link.wire
        if wire is None or not wire.open:
            wire = link.ready()
        nothing = (1 if holds_nothing else 0) + (2 if gaps else 0)
        bounds = (limit, max_bytes, nothing)
        if not settlements:
            command = self._ordinary(stem, consumer, turn, base, bounds)
        elif len(settlements) == 1 and type(settlements[0]) is Done:
            command = self._ordinary(stem, consumer, turn, base, bounds, settlements[0])
        else:
            command = pack(
                (
                    "EVALSHA",
                    _EXCHANGE.sha,
                    1,
                    stem,
                    consumer,
                    turn,
                    base,
                    *bounds,
                    *_flat(settlements),
                )
            )
        reply = wire.ask(command)
        if type(reply) is not list:
            if isinstance(reply, Refusal):
                reply = self._scripts.again(link, wire, _EXCHANGE, command, reply)
            if reply == 0:
                raise _fenced(queue, consumer)
        due, board, lost, elements, now, *receipts = reply
        if not elements:
            # What a wait that follows has to know: it ends by itself when something is due.
            if len(self._due) > 1000:
                self._due.clear()
            self._due[queue, consumer] = math.inf if due < 0 else time.monotonic() + due / 1000
            return Taken(lost, (), None if due < 0 else due / 1000, board)
        found: Sequence[Delivery]
        if receipts or max(elements)[0] > 15:
            # One of them is extended; bytes are compared by the first of them.
            named = receipts[0] if receipts else range(base, base + len(elements))
            found = [_delivery(receipt, element, now) for receipt, element in zip(named, elements, strict=True)]
        elif len(elements) == 1:
            found = (_new(Delivery, (base, elements[0][10:], 0, None, 0.0)),)
        else:
            # Ordinary ones, without a loop in Python. The layout of an element: scripts/element.lua.
            fields = zip(
                count(base),
                map(_body, elements),
                repeat(0),
                repeat(None),
                repeat(0.0),
                strict=False,
            )
            found = list(map(_new, repeat(Delivery), fields))
        answer: Taken = _new(Taken, (lost, found, due / 1000, board))
        return answer

    def _ordinary(
        self,
        stem: str,
        consumer: str,
        turn: int,
        base: int,
        bounds: tuple[int, int, int],
        done: Done | None = None,
    ) -> bytes:
        # The exchange of nearly every task; packing it anew costs twice as much as filling in two or four numbers.
        head = self._heads.get((stem, consumer))
        if head is None:
            if len(self._heads) > 1000:
                self._heads.clear()
            head = _after_count(pack(("EVALSHA", _EXCHANGE.sha, 1, stem, consumer)))
            self._heads[stem, consumer] = head
        middle = self._middles.get(bounds)
        if middle is None:
            if len(self._middles) > 1000:
                self._middles.clear()
            middle = self._middles[bounds] = _after_count(pack([str(one) for one in bounds]))
        a, b = b"%d" % turn, b"%d" % base
        asked = b"%b$%d\r\n%b\r\n$%d\r\n%b\r\n%b" % (head, len(a), a, len(b), b, middle)
        if done is None:
            return b"*10\r\n" + asked
        c = b"%d" % done[0]
        d = c if done[0] == done[1] else b"%d" % done[1]
        return b"*13\r\n%b$1\r\nD\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n" % (asked, len(c), c, len(d), d)

    def _high_exchange(
        self,
        queue: str,
        consumer: str,
        turn: int,
        base: int,
        settlements: Sequence[Settlement],
        limit: int,
        max_bytes: int,
        holds_nothing: bool,
        gaps: bool,
    ) -> Taken:
        # The scripts see the low bits of a receipt; of one consumer they never repeat in 2**52 tasks.
        start, low = base - (base & LARGEST), base & LARGEST
        limit = min(limit, LARGEST - low)
        lowered: list[Settlement] = []
        for s in settlements:
            if isinstance(s, Done | Back):
                lowered += [type(s)(*span) for span in _low_spans(s.first, s.last)]
            else:
                lowered.append(s._replace(receipt=s.receipt & LARGEST))
        taken = self.exchange(queue, consumer, turn, low, lowered, limit, max_bytes, holds_nothing, gaps)

        def high(receipt: int) -> int:
            return start + receipt - (LARGEST + 1 if receipt > low + limit else 0)

        return taken._replace(
            lost=[high(receipt) for receipt in taken.lost],
            deliveries=[d._replace(receipt=high(d.receipt)) for d in taken.deliveries],
        )

    def release(
        self,
        queue: str,
        consumer: str,
        done: Sequence[Span],
        suspects: Mapping[int, bytes],
        *,
        only: Span | None,
        close: bool,
    ) -> None:
        first: int | str = ""
        last: int | str = ""
        if only is not None:
            (first, last), *rest = _low_spans(*only)
            if rest:
                self.release(
                    queue,
                    consumer,
                    done,
                    suspects,
                    only=(only[0], only[1] - rest[0][1] - 1),
                    close=False,
                )
                first, last = rest[0]
        spans = [number for span in done for low in _low_spans(*span) for number in low]
        notes = [part for receipt, note in suspects.items() for part in (receipt & LARGEST, note)]
        self._run(
            _RELEASE,
            self._stem(queue),
            consumer,
            int(close),
            first,
            last,
            len(spans) // 2,
            *spans,
            *notes,
        )

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
        return {f"{self._stem(queue)}:wake": queue for queue, _ in consumers}, left, ripe

    # Looking and cleaning

    def counts(self, queue: str) -> Counts:
        ready, delayed, leased, dead, oldest, consumers, paused = self._run(_COUNTS, self._stem(queue))
        age = None if oldest < 0 else oldest / 1000
        return Counts(ready, delayed, leased, dead, age, consumers, bool(paused))

    def queues(self) -> Sequence[str]:
        key = f"{self.prefix}:queues"
        names = sorted(_name(name) for name in self.root.link(key).command("SMEMBERS", key))
        return [name for name in names if self._is_used(name)]

    def _is_used(self, queue: str) -> bool:
        try:
            found = self.counts(queue)
        except StoreUnavailable:
            raise
        except StoreError:
            return True  # something there is not what it should be: it is shown, and says so where it is read
        some = found.ready or found.delayed or found.leased or found.dead or found.consumers
        return bool(some) or self.board(queue).version > 0

    def peek(self, queue: str, state: Literal["ready", "delayed", "leased"], limit: int) -> Sequence[Peeked]:
        return [
            Peeked(payload, state, priority, due / 1000, count, _name(consumer) or None)
            for payload, priority, due, count, consumer in self._run(_PEEK, self._stem(queue), state, limit)
        ]

    def purge(self, queue: str) -> int:
        return int(self._run(_PURGE, self._stem(queue)))

    def dead(self, queue: str, limit: int, after: str | None) -> Sequence[Letter]:
        return _letters(self._run(_LETTERS, self._stem(queue), "list", limit, after or ""))

    def reasons(self, queue: str, limit: int, after: str | None) -> Sequence[Letter]:
        return _letters(self._run(_LETTERS, self._stem(queue), "reasons", limit, after or ""))

    def letters(self, queue: str, id: str) -> Sequence[Letter]:
        return _letters(self._run(_LETTERS, self._stem(queue), "find", id))

    def revive(self, queue: str, letters: Mapping[str, bytes | None]) -> int:
        args: list[Part] = []
        for id, payload in letters.items():
            args += (id, int(payload is not None), payload or b"")
        return int(self._run(_REVIVE, self._stem(queue), *args)) if args else 0

    def drop(self, queue: str, ids: Sequence[str] | None) -> int:
        if ids is None:
            return int(self._run(_DROP, self._stem(queue), "all"))
        return int(self._run(_DROP, self._stem(queue), "these", *ids)) if ids else 0

    def board(self, queue: str) -> Board:
        version, paused, cancelled = self._run(_BOARD, self._stem(queue))
        return Board(version, bool(paused), frozenset(_name(id) for id in cancelled))

    def post(self, queue: str, paused: bool | None, cancel: Iterable[str], clear: Iterable[str]) -> int:
        self._list(queue)
        word = "" if paused is None else str(int(paused))
        cancelled = list(cancel)
        return int(self._run(_POST, self._stem(queue), word, len(cancelled), *cancelled, *clear))

    # Values, locks, presence

    def set(self, key: str, value: bytes, ttl: float | None) -> None:
        name = f"{self.prefix}:value:{key}"
        if ttl is not None and ttl <= 0:
            self.delete(key)
        elif ttl is None:
            self._command(name, "SET", name, value)
        else:
            self._command(name, "SET", name, value, "PX", max(ms(ttl), 1))

    def get(self, key: str) -> bytes | None:
        name = f"{self.prefix}:value:{key}"
        found: bytes | None = self._command(name, "GET", name)
        return found

    def delete(self, key: str) -> bool:
        name = f"{self.prefix}:value:{key}"
        return bool(self._command(name, "DEL", name))

    def lock_take(self, name: str, owner: str, ttl: float) -> bool:
        return bool(self._run(_LOCK_TAKE, self._lock(name), owner, max(ms(ttl), 1)))

    def lock_free(self, name: str, owner: str) -> bool:
        return bool(self._run(_LOCK_FREE, self._lock(name), owner))

    def lock_look(self, name: str) -> tuple[str, float] | None:
        key = self._lock(name)
        owner, left = self._command(key, "GET", key), self._command(key, "PTTL", key)
        return None if owner is None or left < 0 else (_name(owner), left / 1000)

    def lock_wait(self, name: str, seconds: float) -> None:
        key = self._lock(name)
        left = self._command(key, "PTTL", key)
        if left > 0 and seconds > 0:
            self.watch.once(f"{key}:free", min(seconds, (left + 1) / 1000))

    def announce(self, key: str, value: bytes, ttl: float) -> None:
        self._run(_ANNOUNCE, f"{self.prefix}:{{presence}}", key, value, ms(ttl))

    def presence(self) -> Mapping[str, bytes]:
        found = self._run(_PRESENCE, f"{self.prefix}:{{presence}}")
        return {_name(key): value for key, value in zip(found[::2], found[1::2], strict=True)}

    def _lock(self, name: str) -> str:
        # Apart from the keys of queues, one of which may be called "lock:…"; all of one lock in one slot.
        return f"{self.prefix}:lock:{{lock:{name}}}"

    def _command(self, key: str, *parts: Part) -> Any:
        for _ in range(5):
            link = self.root.link(key)
            wire = link.ready()
            try:
                return link.command(*parts)
            except StoreError as error:
                if "MOVED" not in str(error):
                    raise
                link.moved(Refusal(str(error)[str(error).index("MOVED") :]))
        raise StoreError(f"{wire.where} sends us around in circles for {key}; is the cluster being moved?")


def _low_spans(first: int, last: int) -> list[Span]:
    """A span of receipts by their low bits: one span, or two where the low bits begin anew."""
    if last <= LARGEST or first >> 52 == last >> 52:
        return [(first & LARGEST, last & LARGEST)]
    return [(first & LARGEST, LARGEST), (0, last & LARGEST)]


def _flat(settlements: Sequence[Settlement]) -> list[Part]:
    args: list[Part] = []
    for s in settlements:
        match s:
            case Done(first, last):
                args += ("D", first, last)
            case Back(first, last):
                args += ("B", first, last)
            case Again(receipt, payload, delay, priority):
                if priority is not None and priority not in PRIORITIES:
                    raise ValueError(f"priority is {priority!r}; the redis connector has 0 to 9")
                args += (
                    "A",
                    receipt,
                    max(ms(delay), 0),
                    "" if priority is None else priority,
                    payload,
                )
            case Park(receipt, delay):
                args += ("P", receipt, max(ms(delay), 0))
            case Dead(receipt, task_id, reason, given):
                args += ("X", receipt, task_id, reason, int(given is not None), given or b"")
    return args


def _delivery(receipt: int, element: bytes, now: int) -> Delivery:
    if element[0] < 16:
        return Delivery(receipt, element[10:])
    count, high, low, note_size, id_size = unpack_from(">HHIIH", element, 10)
    start = 24 + note_size + id_size
    note = element[24 : 24 + note_size] if note_size else None
    since = high << 32 | low
    parked = max(now - since, 1) / 1000 if since else 0.0
    return Delivery(receipt, element[start:], count, note, parked)


def _letters(found: list[list[Any]]) -> list[Letter]:
    return [_letter(row) for row in found]


def _letter(row: list[Any]) -> Letter:
    """One record; what cannot be read of it hides no other, and can be dropped by its id."""
    id, task_id, payload, reason, at, priority = row
    try:
        if type(payload) is not bytes or type(reason) is not bytes:
            raise TypeError("payload and reason are bytes")
        return Letter(_name(id), _name(task_id), payload, reason, int(at) / 1000, int(priority))
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        words = f"the record of this letter cannot be read: {type(error).__name__}: {str(error)[:80]}"
        text = json.dumps({"kind": "unreadable", "error": words}).encode()
        kept = payload if isinstance(payload, bytes) else b""
        return Letter(_name(id), _name(task_id) if isinstance(task_id, bytes) else "", kept, text, 0.0, 0)


def _name(data: bytes) -> str:
    """A name as text that can be sent back as it came, also if it is no UTF-8."""
    return data.decode("utf-8", "surrogateescape")


def _text(data: bytes) -> str:
    return data.decode(errors="replace")


def _fenced(queue: str, consumer: str) -> Fenced:
    return Fenced(
        f'the queue "{queue}" does not know the consumer {consumer} (any more): it was taken for dead, was closed, '
        "or spoke out of turn"
    )


def _warnings(link: Link) -> list[str]:
    where = link.ready().where
    try:
        listed = link.command("CONFIG", "GET", "*")
    except StoreError as error:
        return [f"{where} does not show its configuration, so eviction and persistence are unknown: {error}"]
    settings = dict(zip((n.decode() for n in listed[::2]), (v.decode() for v in listed[1::2]), strict=True))
    found = []
    policy = settings.get("maxmemory-policy", "noeviction")
    if policy != "noeviction":
        found.append(
            f"{where} has maxmemory-policy {policy}: when memory is short it deletes tasks. "
            "Set maxmemory-policy noeviction"
        )
    if settings.get("appendonly") != "yes":
        left = (
            "only snapshots: a crash loses what came after the last one" if settings.get("save") else "no persistence"
        )
        found.append(f"{where} has {left}. Set appendonly yes so that pushed tasks survive a crash")
    if field(link.command("INFO", "replication"), "role") == "slave":
        found.append(f"{where} is a replica; tasks are written to the primary")
    return found
