"""The connector "file": one file that every process of a machine reads whole and replaces whole, under a lock.

For a handful of tasks, and to read: it is what `regiment plugins new connector file` made, with a store in two places.
A step that fails half-way leaves the file as it was, because a new one is written beside it and takes its name.
"""

from __future__ import annotations

import errno
import fcntl
import os
import pickle
import select
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import ClassVar, Literal

from regiment.contracts import Board, Capabilities, Counts, Letter, Peeked, Role, Settlement, Span, Taken, Terms
from regiment.errors import Fenced, QueueFull, StoreError, StoreUnavailable
from regiment_file.state import Consumer, Entry, State, now

PAUSE = 0.01
"""Seconds between two looks of one who waits: at the file's age, not into the file."""

LAYOUT = b"regiment-file 1\n"
"""How a store begins; another layout is another number. After it: how often it was written, in 8 bytes, and the state."""

HEAD = len(LAYOUT) + 8


class FileConnector:
    """Tasks in the folder `path`: in the file `state`, with the file `lock` beside it."""

    capabilities: ClassVar[Capabilities] = Capabilities(shared=True, durable=True)

    def __init__(self, url: str | None = None, *, path: str = ".regiment-file") -> None:
        self.path = os.path.abspath(path if url is None else url.removeprefix("file:").removeprefix("//"))
        self._role: Role | None = None
        self._lock: int | None = None
        self._seen: tuple[int, State] | None = None
        """The last state read or written here, and its number."""

    def open(self, role: Role) -> None:
        self.close()
        self._role = role
        if role != "look":
            try:
                os.makedirs(self.path, mode=0o700, exist_ok=True)
                self._lock = os.open(f"{self.path}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError as error:
                raise StoreError(f"{self.describe()} cannot be used: {error}") from None
        with self._reading():
            pass  # a file of a newer layout is refused here

    def close(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
        self._role = self._lock = None

    def describe(self) -> str:
        return f"file://{self.path}"

    @contextmanager
    def _reading(self) -> Iterator[State]:
        if self._role is None:
            raise StoreError(f"{self.describe()} is not open; call open(role) first")
        yield self._state()

    @contextmanager
    def _changing(self) -> Iterator[State]:
        """One atomic step: all of it happens, or nothing."""
        if self._lock is None:
            raise StoreError(f"{self.describe()} is opened for {self._role or 'nothing'}; it cannot be changed")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        try:
            state = self._state()
            number = self._seen[0] if self._seen else 0
            self._seen = None  # whatever comes now, it is not what the file holds
            yield state
            self._write(number + 1, state)
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)

    def _state(self) -> State:
        """What the file holds; unpacked only if it was written since the last time."""
        try:
            with open(f"{self.path}/state", "rb") as file:
                head = file.read(HEAD)
                number = int.from_bytes(head[len(LAYOUT) :])
                if self._seen is not None and self._seen[0] == number:
                    return self._seen[1]
                data = file.read()
        except FileNotFoundError:
            self._seen = None
            return State()
        except OSError as error:
            raise StoreUnavailable(f"{self.describe()} cannot be read: {error}") from None
        if not head.startswith(LAYOUT):
            raise StoreError(f"{self.describe()} begins with {head!r}; expected {LAYOUT!r}: it is not of this release")
        state: State = pickle.loads(data)
        self._seen = (number, state)
        return state

    def _write(self, number: int, state: State) -> None:
        try:
            with open(f"{self.path}/next", "wb") as file:
                file.write(LAYOUT + number.to_bytes(8) + pickle.dumps(state, pickle.HIGHEST_PROTOCOL))
            os.replace(f"{self.path}/next", f"{self.path}/state")
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise QueueFull(f"{self.describe()}: {error.strerror}") from None
            raise StoreUnavailable(f"{self.describe()} cannot be written: {error}") from None
        self._seen = (number, state)

    # pushing and waiting

    def push(
        self,
        queue: str,
        payloads: Sequence[bytes],
        *,
        priority: int,
        delay: float = 0.0,
        at: float | None = None,
        token: str,
        ids: Sequence[str] | None = None,
        id_window: float = 3600.0,
        token_window: float = 60.0,
    ) -> Sequence[int]:
        with self._changing() as state:
            into, time_ = state.queue(queue), now()
            into.tokens = {t: seen for t, seen in into.tokens.items() if seen[0] > time_}
            if token in into.tokens:
                return into.tokens[token][1]
            into.ids = {id: until for id, until in into.ids.items() if until > time_}
            here = {entry.uid for entry in into.entries()}
            due, left_out = time_ + delay if at is None else at, list[int]()
            for index, payload in enumerate(payloads):
                id = ids[index] if ids is not None else None
                if id is not None and (id in here or id in into.ids):
                    left_out.append(index)
                    continue
                if id is not None:
                    into.ids[id] = time_ + id_window
                    here.add(id)
                entry = Entry(bytes(payload), priority, time_, id)
                if due > time_:
                    into.put_off(entry, due)
                else:
                    into.append(entry)
            into.tokens[token] = (time_ + token_window, left_out)
            return left_out

    def wait(self, consumers: Sequence[tuple[str, str]], seconds: float, wake_fd: int | None = None) -> Sequence[str]:
        end = time.monotonic() + seconds
        while True:
            with self._reading() as state:
                ready = [q for q, me in consumers if state.look(q).wakes(state.look(q).consumers.get(me))]
            left = end - time.monotonic()
            if ready or left <= 0:
                return ready
            watched = select.poll()
            if wake_fd is not None:
                watched.register(wake_fd, select.POLLIN)
            if watched.poll(min(left, PAUSE) * 1000):
                return []

    # the lease

    def join(self, queue: str, consumer: str, terms: Terms) -> None:
        with self._changing() as state:
            into = state.queue(queue)
            known = into.consumers.get(consumer)
            if known is None:
                into.close_gap(terms.lease)
                into.consumers[consumer] = Consumer(terms, now() + terms.lease)
            elif known.state != "living":
                raise Fenced(f"consumer {consumer} of {queue!r} is {known.state}; join under a new name")

    def renew(self, consumers: Sequence[tuple[str, str]], seconds: float) -> Sequence[tuple[str, str]]:
        lost = []
        with self._changing() as state:
            for queue, consumer in consumers:
                known = state.look(queue).consumers.get(consumer)
                if known is None or known.state != "living":
                    lost.append((queue, consumer))
                else:
                    state.queue(queue).close_gap(known.terms.lease)
                    known.deadline = max(known.deadline, now() + seconds)
        return lost

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
    ) -> Taken:
        with self._changing() as state:
            into = state.look(queue)
            me = into.consumers.get(consumer)
            if me is None or me.state != "living":
                raise Fenced(f"consumer {consumer} of {queue!r} is {me.state if me else 'unknown'}")
            if turn not in (me.turn, me.turn + 1) or turn == 0:
                raise Fenced(f"consumer {consumer} sent turn {turn}; expected {me.turn} or {me.turn + 1}")
            if turn == me.turn + 1:  # else the answer of that turn again
                into.close_gap(me.terms.lease)
                into.settle(me, settlements)
                if holds_nothing:
                    into.release(me, list(me.held), {})
                into.take_back(me)
                into.promote()
                into.lease(me, base, limit, max_bytes)
                me.turn, me.base = turn, base
            deliveries = [e.delivery(receipt) for receipt, e in me.held.items() if receipt >= me.base]
            due = into.next_due(me)
            me.told = None if deliveries or limit == 0 else (due, into.version)
            left = None if due is None else max(0.0, due - now())
            return Taken(list(me.lost), deliveries, left, into.version)

    def release(
        self,
        queue: str,
        consumer: str,
        done: Sequence[Span],
        suspects: Mapping[int, bytes],
        *,
        only: Span | None = None,
        close: bool = False,
    ) -> None:
        with self._changing() as state:
            into = state.queue(queue)
            of = into.consumers.get(consumer)
            if of is None:
                if close:  # a join that comes late is to find that it is over
                    into.consumers[consumer] = Consumer(Terms(), 0.0, "closed")
                return
            for first, last in done:
                for receipt in [r for r in of.held if first <= r <= last]:
                    del of.held[receipt]
                    of.settled.add(receipt)
            low, high = (min(of.held, default=0), max(of.held, default=0)) if only is None else only
            into.release(of, [r for r in of.held if low <= r <= high], dict(suspects))
            if close:
                of.state = "closed"

    # looking

    def counts(self, queue: str) -> Counts:
        with self._reading() as state:
            of = state.look(queue)
            return Counts(
                len(of.ready),
                len(of.delayed),
                sum(len(one.held) for one in of.consumers.values()),
                len(of.letters),
                max((now() - entry.since for entry in of.ready), default=None),
                sum(one.state == "living" for one in of.consumers.values()),
                of.paused,
            )

    def queues(self) -> Sequence[str]:
        with self._reading() as state:
            return sorted(name for name, queue in state.queues.items() if queue.named())

    def peek(self, queue: str, state: Literal["ready", "delayed", "leased"], limit: int = 100) -> Sequence[Peeked]:
        with self._reading() as all_:
            of = all_.look(queue)
            held = [(e, name) for name, one in of.consumers.items() for e in one.held.values()]
            seen: list[tuple[Entry, str | None]] = {
                "ready": [(entry, None) for entry in of.ready],
                "delayed": [(entry, None) for entry in of.delayed],
                "leased": sorted(held, key=lambda pair: pair[0].place()),
            }[state]  # type: ignore[assignment]
            return [
                Peeked(
                    e.payload, state, e.priority, max(0.0, e.due - now()) if state == "delayed" else 0.0, e.count, me
                )
                for e, me in seen[:limit]
            ]

    def purge(self, queue: str) -> int:
        with self._changing() as state:
            of = state.queue(queue)
            gone = len(of.ready) + len(of.delayed)
            of.ready, of.delayed = [], []
            return gone

    def board(self, queue: str) -> Board:
        with self._reading() as state:
            of = state.look(queue)
            return Board(of.version, of.paused, frozenset(of.cancelled))

    def post(
        self,
        queue: str,
        *,
        paused: bool | None = None,
        cancel: Iterable[str] = (),
        clear: Iterable[str] = (),
    ) -> int:
        with self._changing() as state:
            of = state.queue(queue)
            before = of.paused, of.cancelled
            of.paused = of.paused if paused is None else paused
            of.cancelled = of.cancelled.union(cancel).difference(clear)
            of.version += (of.paused, of.cancelled) != before
            return of.version

    # dead letters

    def dead(self, queue: str, limit: int = 100, *, after: str | None = None) -> Sequence[Letter]:
        with self._reading() as state:
            newest = list(reversed(state.look(queue).letters.values()))
            return [one for one in newest if after is None or int(one.id) < int(after)][:limit]

    def letters(self, queue: str, id: str) -> Sequence[Letter]:
        with self._reading() as state:
            newest = reversed(state.look(queue).letters.values())
            return [one for one in newest if id in (one.id, one.task_id)]

    def revive(self, queue: str, letters: Mapping[str, bytes | None]) -> int:
        with self._changing() as state:
            of, revived = state.queue(queue), 0
            for id, payload in letters.items():
                letter = of.letters.pop(id, None)
                if letter is not None:
                    kept = letter.payload if payload is None else payload
                    of.append(Entry(kept, letter.priority, now()))
                    revived += 1
            return revived

    def drop(self, queue: str, ids: Sequence[str] | None = None) -> int:
        with self._changing() as state:
            of = state.queue(queue)
            gone = [id for id in of.letters if ids is None or id in ids]
            for id in gone:
                del of.letters[id]
            return len(gone)

    # keys, locks, presence

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        with self._changing() as state:
            state.keys[key] = (value, None if ttl is None else now() + ttl)

    def get(self, key: str) -> bytes | None:
        with self._reading() as state:
            value, until = state.keys.get(key, (None, None))
            return value if until is None or until > now() else None

    def delete(self, key: str) -> bool:
        with self._changing() as state:
            value, until = state.keys.pop(key, (None, None))
            return value is not None and (until is None or until > now())

    def lock_take(self, name: str, owner: str, ttl: float) -> bool:
        with self._changing() as state:
            holder, until = state.locks.get(name, (owner, 0.0))
            if holder != owner and until > now():
                return False
            state.locks[name] = (owner, now() + ttl)
            return True

    def lock_free(self, name: str, owner: str) -> bool:
        with self._changing() as state:
            holder, until = state.locks.get(name, ("", 0.0))
            mine = holder == owner and until > now()
            if mine:
                del state.locks[name]
            return mine

    def lock_look(self, name: str) -> tuple[str, float] | None:
        with self._reading() as state:
            owner, until = state.locks.get(name, ("", 0.0))
            return (owner, until - now()) if until > now() else None

    def lock_wait(self, name: str, seconds: float) -> None:
        end = time.monotonic() + seconds
        while self.lock_look(name) is not None and time.monotonic() < end:
            time.sleep(PAUSE)

    def announce(self, key: str, value: bytes, ttl: float) -> None:
        with self._changing() as state:
            state.presence[key] = (value, now() + ttl)

    def presence(self) -> Mapping[str, bytes]:
        with self._reading() as state:
            return {key: value for key, (value, until) in state.presence.items() if until > now()}
