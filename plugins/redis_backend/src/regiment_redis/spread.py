"""Several independent Redis as one store: pushes are spread, a consumer joins all, exchanges go round.

What the nodes know of a consumer are the same identity and receipts, and of its turns some: an exchange goes to the nodes
that its settlements concern, and from one to the next until the batch is full. So receipts are unique over all
nodes, and whoever releases a consumer (its keeper, from another process) tells all nodes the same. A node that is down
delays its own tasks: what was Done there is settled when it is back, other settlements wait for it.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, TypeVar
from zlib import crc32

from regiment.contracts import Back, Done, Role, Settlement, Span, Taken, Terms
from regiment.contracts.effects import Effect
from regiment.errors import Fenced, StoreUnavailable
from regiment_redis.effective import Effects
from regiment_redis.effects import settled
from regiment_redis.nodes import AWAY, Nodes
from regiment_redis.shard import NONE, Shard
from regiment_redis.spread_effects import SpreadEffects
from regiment_redis.spread_people import SpreadNames, SpreadPeople
from regiment_redis.spread_steering import SpreadHand
from regiment_redis.waiting import Watch, sleep

T = TypeVar("T")
TRIES = 3
"""Repeats after which an exchange with an unknown end on a node that is gone gives the identity up."""


class _Lease:
    """What this connector knows of one consumer."""

    def __init__(self, terms: Terms, many: int) -> None:
        self.terms = terms
        self.joined = [False] * many
        self.boards = [0] * many
        self.late: list[list[Settlement]] = [[] for _ in range(many)]
        self.late_effects: list[dict[int, Sequence[Effect]]] = [{} for _ in range(many)]
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

    def forget(self, base: int) -> None:
        """Nothing below `base` is held."""
        if base:
            self.spans = [span for span in self.spans if span[0] >= base]
        del self.spans[:-10_000]

    def answer(self, this: _Round) -> Taken:
        """What all nodes that were asked in this turn have answered, as one."""
        answers = self.answers.values()
        dues = [taken.next_due for taken in answers if taken.next_due is not None]
        deliveries = sorted(d for taken in answers for d in taken.deliveries)
        return Taken(this.lost(answers), deliveries, min(dues, default=None), sum(self.boards))


class _Round:
    """One exchange that goes round: its settlements as parts for the nodes that they concern."""

    def __init__(
        self,
        lease: _Lease,
        who: tuple[str, str, int],
        settlements: Sequence[Settlement],
        max_bytes: int,
        holds_nothing: bool,
        effects: Effects,
    ) -> None:
        self._lease, self._who, self._max_bytes, self._holds_nothing = lease, who, max_bytes, holds_nothing
        self._effects = effects
        self.parts: dict[int, list[Settlement]] = {}
        """Node -> what it is to settle."""
        self._asked: dict[int, int] = {}
        for settlement in settlements:
            for node, part in lease.nodes_of(settlement).items():
                self.parts.setdefault(node, []).append(part)
                for receipt in _receipts(part):
                    self._asked[receipt] = self._asked.get(receipt, 0) + 1

    def send(self, shard: Shard, node: int, start: int, most: int) -> Taken:
        """Have this node settle its part and what is late, and lease up to `most` from the receipt `start` on."""
        lease, (queue, consumer, turn) = self._lease, self._who
        if lease.own and not lease.joined[node]:
            shard.join(queue, consumer, lease.terms)
            lease.joined[node] = True
        parts = [*lease.late[node], *self.parts.get(node, ())]
        numbers = (turn, start, parts, most, self._max_bytes, self._holds_nothing, True)
        effects = {**lease.late_effects[node], **self.effects_of(node)}
        taken = shard.exchange(queue, consumer, *numbers, effects=effects)
        lease.late[node], lease.late_effects[node] = [], {}
        lease.answers[node], lease.boards[node] = taken, taken.board
        return taken

    def effects_of(self, node: int) -> dict[int, Sequence[Effect]]:
        """The effects of what this node is to settle."""
        if not self._effects:
            return {}
        return {receipt: self._effects[receipt] for receipt in settled(self.parts.get(node, ()), self._effects)}

    def lost(self, answers: Collection[Taken]) -> list[int]:
        """The receipts that every node which was asked for them calls lost."""
        return [
            receipt
            for receipt, times in self._asked.items()
            if times - sum(receipt in taken.lost for taken in answers) <= 0
        ]


class Spread(SpreadEffects):
    """Pushing, the lease and waiting over several `Shard`s; the other verbs of a connector are in `spread_people` and `spread_steering`."""

    def __init__(self, shards: Sequence[Shard], by_queue: bool = False) -> None:
        self._by_queue = by_queue
        super().__init__(nodes := Nodes(shards), by_queue)
        self.people, self.hand, self.names = SpreadPeople(nodes), SpreadHand(nodes), SpreadNames(nodes)
        self._leases: dict[tuple[str, str], _Lease] = {}
        self._unsure: dict[str, int] = {}

    # Life

    def open(self, role: Role) -> None:
        self._nodes.each(lambda shard: shard.open(role))

    def close(self) -> None:
        self.ear.close()
        for shard in self._nodes:
            shard.close()

    def warnings(self) -> list[str]:
        found: list[str] = []
        for shard in self._nodes:
            try:
                found += shard.warnings()
            except StoreUnavailable as error:
                found.append(f"{error}; the tasks on it wait until it is back")
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
        def send(node: int) -> Sequence[int]:
            return self._nodes[node].push(
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

        many = len(self._nodes)
        if ids is not None or self._by_queue:
            # Ids can be compared, and an order kept, on one node only: the queue's own.
            return send(crc32(queue.encode()) % many)
        if token in self._unsure:
            left_out = send(self._unsure[token])
            del self._unsure[token]
            return left_out
        first, problem = crc32(token.encode()) % many, None
        nodes = [(first + i) % many for i in range(many)]
        for node in sorted(nodes, key=self._nodes.is_away):
            try:
                return send(node)
            except StoreUnavailable as error:
                if error.maybe_pushed:
                    # Only the node that may have it can tell whether it has.
                    while len(self._unsure) >= 1000:
                        del self._unsure[next(iter(self._unsure))]
                    self._unsure[token] = node
                    raise
                self._nodes.leave(node)
                problem = error
        assert problem is not None
        raise problem

    def join(self, queue: str, consumer: str, terms: Terms) -> None:
        lease = self._leases.setdefault((queue, consumer), _Lease(terms, len(self._nodes)))

        def join(shard: Shard) -> None:
            shard.join(queue, consumer, terms)
            lease.own = True
            lease.joined[self._nodes.number(shard)] = True

        self._nodes.each(join)

    def renew(self, consumers: Sequence[tuple[str, str]], seconds: float) -> Sequence[tuple[str, str]]:
        answers = self._nodes.each(lambda shard: shard.renewed(consumers, seconds))
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
        *,
        effects: Effects = NONE,
    ) -> Taken:
        many = len(self._nodes)
        lease = self._leases.setdefault((queue, consumer), _Lease(Terms(), many))
        if lease.own and turn not in (lease.turn, lease.turn + 1):
            raise Fenced(f"{consumer} sent turn {turn} to {queue} after {lease.turn}; expected the same or the next")
        if turn != lease.turn:
            lease.turn, lease.answers, lease.sent = turn, {}, {}
            lease.next = (lease.next + 1) % many
        this = _Round(lease, (queue, consumer, turn), settlements, max_bytes, holds_nothing, effects)
        order = [(lease.next + i) % many for i in range(many)]
        order.sort(key=lambda node: node not in lease.sent)
        refused: Fenced | None = None
        for node in order:
            have = sum(len(taken.deliveries) for taken in lease.answers.values())
            most = max(limit - have, 0)
            if node in lease.answers or (not most and node not in this.parts and lease.answers):
                continue
            if self._nodes.is_away(node) and node not in this.parts and node not in lease.sent:
                continue
            try:
                taken = this.send(self._nodes[node], node, base + have, most)
            except StoreUnavailable as error:
                self._failed(queue, consumer, lease, node, this, error)
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
        lease.forget(base if holds_nothing else 0)
        return lease.answer(this)

    def _failed(
        self, queue: str, consumer: str, lease: _Lease, node: int, this: _Round, error: StoreUnavailable
    ) -> None:
        """A node does not answer. Passes where nothing depends on it; raises where the turn has to be repeated."""
        wanted = this.parts.get(node, [])
        self._nodes.leave(node)
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
        lease.late_effects[node] |= this.effects_of(node)
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
        effects: Effects = NONE,
    ) -> None:
        self._nodes.all(
            lambda shard: shard.release(queue, consumer, done, suspects, only=only, close=close, effects=effects)
        )
        if close:
            self._leases.pop((queue, consumer), None)

    def wait(self, consumers: Sequence[tuple[str, str]], seconds: float, wake_fd: int | None) -> Sequence[str]:
        more = [] if wake_fd is None else [wake_fd]
        watches: list[Watch] = []
        marks: dict[str, str] = {}
        ripe: list[str] = []
        for node, shard in enumerate(self._nodes):
            keys, left, due = shard.waits(consumers, seconds)
            marks |= keys
            if left < seconds:
                seconds, ripe = left, due
            try:
                shard.watch.begin(list(keys), seconds)
                watches.append(shard.watch)
            except StoreUnavailable:
                self._nodes.leave(node)
        until = time.monotonic() + seconds
        found: set[str] = set()
        try:
            while (left := until - time.monotonic()) > 0:
                fds = [fd for watch in watches for fd in watch.descriptors()]
                # A node that is away is looked for again by the exchange that follows.
                nap = min(left, AWAY) if len(watches) < len(self._nodes) else left
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


def _receipts(settlement: Any) -> Iterable[int]:
    if isinstance(settlement, Done | Back):
        return range(settlement.first, settlement.last + 1)
    return (settlement.receipt,)
