"""Several independent Redis as one store: pushes are spread, a consumer joins all, exchanges go round.

What the nodes know of a consumer are the same identity and receipts, and of its turns some: an exchange goes to the nodes
that its settlements concern, and from one to the next until the batch is full. So receipts are unique over all
nodes, and whoever releases a consumer (its keeper, from another process) tells all nodes the same. A node that is down
delays its own tasks: what was Done there is settled when it is back, other settlements wait for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeVar
from zlib import crc32

from regiment.contracts import Back, Board, Counts, Done, Letter, Peeked, Role, Settlement, Span, Taken, Terms
from regiment.errors import Fenced, StoreUnavailable
from regiment_redis.shard import Shard
from regiment_redis.waiting import Watch, sleep

T = TypeVar("T")
TRIES = 3
"""Repeats after which an exchange with an unknown end on a node that is gone gives the identity up."""
AWAY = 1.0
"""Seconds for which a node that cannot be reached is not asked again by an exchange."""


class _Lease:
    """What this connector knows of one consumer."""

    def __init__(self, terms: Terms, many: int) -> None:
        self.terms = terms
        self.joined = [False] * many
        self.boards = [0] * many
        self.late: list[list[Settlement]] = [[] for _ in range(many)]
        self.spans: list[tuple[int, int, int]] = []
        self.next = 0
        self.turn = 0
        self.own = False
        """Whether it joined here; else another connection did, and only that one joins it on nodes that come back."""
        self.answers: dict[int, Taken] = {}
        self.sent: dict[int, int] = {}

    def nodes_of(self, settlement: Settlement) -> dict[int, Settlement]:
        """The part of a settlement that each node is to do; the whole of it for all where the receipts are unknown."""
        found: dict[int, Settlement] = {}
        if not isinstance(settlement, Done | Back):
            found = {node: settlement for first, last, node in self.spans if first <= settlement.receipt <= last}
        else:
            covered = 0
            for first, last, node in self.spans:
                low, high = max(first, settlement.first), min(last, settlement.last)
                if low <= high:
                    if node in found:
                        return dict.fromkeys(range(len(self.joined)), settlement)
                    found[node] = type(settlement)(low, high)
                    covered += high - low + 1
            if covered < settlement.last - settlement.first + 1:
                found = {}
        return found or dict.fromkeys(range(len(self.joined)), settlement)


class Spread:
    """The verbs of `regiment.contracts.Connector` over several `Shard`s."""

    def __init__(self, shards: Sequence[Shard], by_queue: bool = False) -> None:
        self._by_queue = by_queue
        self._shards = list(shards)
        self._leases: dict[tuple[str, str], _Lease] = {}
        self._away = [0.0] * len(self._shards)
        self._unsure: dict[str, int] = {}

    # Life

    def open(self, role: Role) -> None:
        self._each(lambda shard: shard.open(role))

    def close(self) -> None:
        for shard in self._shards:
            shard.close()

    def warnings(self) -> list[str]:
        found: list[str] = []
        for shard in self._shards:
            try:
                found += shard.warnings()
            except StoreUnavailable as error:
                found.append(f"{error}; the tasks on it wait until it is back")
        return found

    def _each(self, do: Callable[[Shard], T]) -> list[T]:
        """The answers of the nodes that can be reached; raises if none can."""
        found, problems = [], []
        for node, shard in enumerate(self._shards):
            try:
                found.append(do(shard))
            except StoreUnavailable as error:
                problems.append(str(error))
                self._away[node] = time.monotonic() + AWAY
        if not found:
            raise StoreUnavailable(f"none of {len(self._shards)} nodes answers: {'; '.join(problems)}")
        return found

    def _all(self, do: Callable[[Shard], T]) -> list[T]:
        """The answers of all nodes; what can be done is done, then the first that failed raises."""
        found, problem = [], None
        for shard in self._shards:
            try:
                found.append(do(shard))
            except StoreUnavailable as error:
                problem = problem or error
        if problem is not None:
            raise problem
        return found

    def _at(self, key: str) -> Shard:
        return self._shards[crc32(key.encode()) % len(self._shards)]

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
        def send(node: int) -> Sequence[int]:
            return self._shards[node].push(
                queue,
                payloads,
                priority=priority,
                delay=delay,
                at=at,
                token=token,
                ids=ids,
                id_window=id_window,
                token_window=token_window,
            )

        many = len(self._shards)
        if ids is not None or self._by_queue:
            # Ids can be compared, and an order kept, on one node only: the queue's own.
            return send(crc32(queue.encode()) % many)
        if token in self._unsure:
            left_out = send(self._unsure[token])
            del self._unsure[token]
            return left_out
        first, problem = crc32(token.encode()) % many, None
        nodes = [(first + i) % many for i in range(many)]
        now = time.monotonic()
        for node in sorted(nodes, key=lambda node: self._away[node] > now):
            try:
                return send(node)
            except StoreUnavailable as error:
                if error.maybe_pushed:
                    # Only the node that may have it can tell whether it has.
                    while len(self._unsure) >= 1000:
                        del self._unsure[next(iter(self._unsure))]
                    self._unsure[token] = node
                    raise
                self._away[node] = time.monotonic() + AWAY
                problem = error
        assert problem is not None
        raise problem

    def join(self, queue: str, consumer: str, terms: Terms) -> None:
        lease = self._leases.setdefault((queue, consumer), _Lease(terms, len(self._shards)))

        def join(shard: Shard) -> None:
            shard.join(queue, consumer, terms)
            lease.own = True
            lease.joined[self._shards.index(shard)] = True

        self._each(join)

    def renew(self, consumers: Sequence[tuple[str, str]], seconds: float) -> Sequence[tuple[str, str]]:
        answers = self._each(lambda shard: shard.renewed(consumers, seconds))
        fenced = {who for _, some in answers for who in some}
        unknown = set(consumers).intersection(*(some for some, _ in answers))
        return [who for who in consumers if who in fenced or who in unknown]

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
        many = len(self._shards)
        lease = self._leases.setdefault((queue, consumer), _Lease(Terms(), many))
        if lease.own and turn not in (lease.turn, lease.turn + 1):
            raise Fenced(f"{consumer} sent turn {turn} to {queue} after {lease.turn}; expected the same or the next")
        if turn != lease.turn:
            lease.turn, lease.answers, lease.sent = turn, {}, {}
            lease.next = (lease.next + 1) % many
        wanted: dict[int, list[Settlement]] = {}
        asked: dict[int, int] = {}
        for settlement in settlements:
            for node, part in lease.nodes_of(settlement).items():
                wanted.setdefault(node, []).append(part)
                for receipt in _receipts(part):
                    asked[receipt] = asked.get(receipt, 0) + 1

        def send(node: int, start: int, most: int) -> Taken:
            shard = self._shards[node]
            if lease.own and not lease.joined[node]:
                shard.join(queue, consumer, lease.terms)
                lease.joined[node] = True
            parts = [*lease.late[node], *wanted.get(node, ())]
            taken = shard.exchange(queue, consumer, turn, start, parts, most, max_bytes, holds_nothing, True)
            lease.late[node] = []
            lease.answers[node], lease.boards[node] = taken, taken.board
            return taken

        order = [(lease.next + i) % many for i in range(many)]
        order.sort(key=lambda node: node not in lease.sent)
        refused: Fenced | None = None
        for node in order:
            have = sum(len(taken.deliveries) for taken in lease.answers.values())
            most = max(limit - have, 0)
            if node in lease.answers or (not most and node not in wanted and lease.answers):
                continue
            if self._away[node] > time.monotonic() and node not in wanted and node not in lease.sent:
                continue
            try:
                taken = send(node, base + have, most)
            except StoreUnavailable as error:
                self._failed(queue, consumer, lease, node, wanted.get(node, []), error)
                continue
            except Fenced as error:
                if lease.own:
                    raise
                refused = error
                continue
            if taken.deliveries:
                lease.spans.append((base + have, base + have + len(taken.deliveries) - 1, node))
        if refused is not None and not lease.answers:
            raise refused
        if not lease.answers:
            raise StoreUnavailable(f"none of {many} nodes answers")
        for receipt, times in asked.items():
            asked[receipt] = times - sum(receipt in taken.lost for taken in lease.answers.values())
        lost = [receipt for receipt, kept in asked.items() if kept <= 0]
        if holds_nothing:
            lease.spans = [span for span in lease.spans if span[0] >= base]
        del lease.spans[:-10_000]
        dues = [taken.next_due for taken in lease.answers.values() if taken.next_due is not None]
        deliveries = sorted(d for taken in lease.answers.values() for d in taken.deliveries)
        return Taken(lost, deliveries, min(dues, default=None), sum(lease.boards))

    def _failed(
        self, queue: str, consumer: str, lease: _Lease, node: int, wanted: list[Settlement], error: StoreUnavailable
    ) -> None:
        """A node does not answer. Passes where nothing depends on it; raises where the turn has to be repeated."""
        self._away[node] = time.monotonic() + AWAY
        if error.maybe_pushed or node in lease.sent:
            # It may have leased something under these receipts: until it is asked, no other node may use them.
            lease.sent[node] = lease.sent.get(node, 0) + 1
            if lease.sent[node] > TRIES:
                del self._leases[queue, consumer]
                raise Fenced(f"{error}; what it leased to {consumer} in the moment it went away stays there") from error
            raise error
        if not all(isinstance(s, Done) for s in wanted):
            raise error
        lease.late[node] += wanted
        lease.answers[node] = Taken(board=lease.boards[node])

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
        self._all(lambda shard: shard.release(queue, consumer, done, suspects, only=only, close=close))
        if close:
            self._leases.pop((queue, consumer), None)

    def wait(self, consumers: Sequence[tuple[str, str]], seconds: float, wake_fd: int | None) -> Sequence[str]:
        more = [] if wake_fd is None else [wake_fd]
        watches: list[Watch] = []
        marks: dict[str, str] = {}
        ripe: list[str] = []
        for node, shard in enumerate(self._shards):
            keys, left, due = shard.waits(consumers, seconds)
            marks |= keys
            if left < seconds:
                seconds, ripe = left, due
            try:
                shard.watch.begin(list(keys), seconds)
                watches.append(shard.watch)
            except StoreUnavailable:
                self._away[node] = time.monotonic() + AWAY
        until = time.monotonic() + seconds
        found: set[str] = set()
        try:
            while (left := until - time.monotonic()) > 0:
                fds = [fd for watch in watches for fd in watch.descriptors()]
                # A node that is away is looked for again by the exchange that follows.
                nap = min(left, AWAY) if len(watches) < len(self._shards) else left
                ready = sleep([*fds, *more], min([nap, *(watch.late() for watch in watches)]))
                for watch in list(watches):
                    try:
                        found.update(marks[key] for key in watch.taken(ready, until))
                    except StoreUnavailable:
                        watch.close()
                        watches.remove(watch)
                        return []
                if found or (wake_fd is not None and wake_fd in ready) or not watches:
                    break
            for watch in watches:
                found.update(marks[key] for key in watch.end())
        except BaseException:
            for watch in watches:
                watch.close()
            raise
        return sorted(found) or ripe

    # Looking and cleaning

    def counts(self, queue: str) -> Counts:
        all_ = self._each(lambda shard: shard.counts(queue))
        ages = [c.oldest for c in all_ if c.oldest is not None]
        return Counts(
            sum(c.ready for c in all_),
            sum(c.delayed for c in all_),
            sum(c.leased for c in all_),
            sum(c.dead for c in all_),
            max(ages, default=None),
            max(c.consumers for c in all_),
            any(c.paused for c in all_),
        )

    def queues(self) -> Sequence[str]:
        return sorted({name for names in self._each(lambda shard: shard.queues()) for name in names})

    def peek(self, queue: str, state: Literal["ready", "delayed", "leased"], limit: int) -> Sequence[Peeked]:
        found = [task for some in self._each(lambda shard: shard.peek(queue, state, limit)) for task in some]
        found.sort(key=lambda task: (task.due, task.priority if state == "ready" else 0))
        return found[:limit]

    def purge(self, queue: str) -> int:
        return sum(self._all(lambda shard: shard.purge(queue)))

    def dead(self, queue: str, limit: int, after: str | None) -> Sequence[Letter]:
        behind = after.rpartition(".")[0] if after else None
        found = self._letters(lambda shard: shard.dead(queue, limit, behind))
        return found[:limit]

    def reasons(self, queue: str, limit: int, after: str | None) -> Sequence[Letter]:
        behind = after.rpartition(".")[0] if after else None
        found = self._letters(lambda shard: shard.reasons(queue, limit, behind))
        return found[:limit]

    def letters(self, queue: str, id: str) -> Sequence[Letter]:
        raw = id.rpartition(".")[0]
        found = self._letters(lambda shard: [*shard.letters(queue, id), *(shard.letters(queue, raw) if raw else ())])
        return [letter for letter in found if id in (letter.id, letter.task_id)]

    def _letters(self, look: Callable[[Shard], Sequence[Letter]]) -> list[Letter]:
        found: list[Letter] = []

        def add(shard: Shard) -> None:
            node = self._shards.index(shard)
            found.extend(letter._replace(id=f"{letter.id}.{node}") for letter in look(shard))

        self._each(add)
        found.sort(key=lambda letter: letter.id, reverse=True)
        return found

    def revive(self, queue: str, letters: Mapping[str, bytes | None]) -> int:
        def some(shard: Shard) -> int:
            end = f".{self._shards.index(shard)}"
            return shard.revive(queue, {id.removesuffix(end): p for id, p in letters.items() if id.endswith(end)})

        return sum(self._all(some))

    def drop(self, queue: str, ids: Sequence[str] | None) -> int:
        def some(shard: Shard) -> int:
            end = f".{self._shards.index(shard)}"
            return shard.drop(
                queue,
                None if ids is None else [i.removesuffix(end) for i in ids if i.endswith(end)],
            )

        return sum(self._all(some))

    def board(self, queue: str) -> Board:
        boards = self._each(lambda shard: shard.board(queue))
        cancelled = frozenset(id for board in boards for id in board.cancelled)
        return Board(sum(b.version for b in boards), any(b.paused for b in boards), cancelled)

    def post(self, queue: str, paused: bool | None, cancel: Iterable[str], clear: Iterable[str]) -> int:
        ids, gone = list(cancel), list(clear)
        return sum(self._all(lambda shard: shard.post(queue, paused, ids, gone)))

    # Values and locks live on one node each, by their name; presence on all

    def set(self, key: str, value: bytes, ttl: float | None) -> None:
        self._at(key).set(key, value, ttl)

    def get(self, key: str) -> bytes | None:
        return self._at(key).get(key)

    def delete(self, key: str) -> bool:
        return self._at(key).delete(key)

    def lock_take(self, name: str, owner: str, ttl: float) -> bool:
        return self._at(name).lock_take(name, owner, ttl)

    def lock_free(self, name: str, owner: str) -> bool:
        return self._at(name).lock_free(name, owner)

    def lock_look(self, name: str) -> tuple[str, float] | None:
        return self._at(name).lock_look(name)

    def lock_wait(self, name: str, seconds: float) -> None:
        self._at(name).lock_wait(name, seconds)

    def announce(self, key: str, value: bytes, ttl: float) -> None:
        self._each(lambda shard: shard.announce(key, value, ttl))

    def presence(self) -> Mapping[str, bytes]:
        found: dict[str, bytes] = {}
        for some in self._each(lambda shard: shard.presence()):
            found |= some
        return found


def _receipts(settlement: Any) -> Iterable[int]:
    if isinstance(settlement, Done | Back):
        return range(settlement.first, settlement.last + 1)
    return (settlement.receipt,)
