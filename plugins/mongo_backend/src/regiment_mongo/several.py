"""Several independent clusters as one store: who is asked, in which order, and what happens when one is down."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from zlib import crc32

from regiment.contracts import Again, Back, Dead, Delivery, Done, Effect, Letter, Park, Role, Settlement, Taken, Terms
from regiment.errors import Fenced, StoreUnavailable
from regiment_mongo.ledger import Row
from regiment_mongo.node import Node

REST = 1.0
"""Seconds that a cluster which did not answer is left alone, where another can be asked instead."""


class _Answer:
    """What the clusters answered to one turn, as one answer."""

    def __init__(self) -> None:
        self.deliveries: list[Delivery] = []
        self.failure: StoreUnavailable | None = None
        self._lost: set[int] | None = None
        self._due: list[float] = []
        self._board = self._answered = 0

    def add(self, taken: Taken, owed: Sequence[Settlement]) -> None:
        """One cluster's answer; what of it is about settlements that it was owed from earlier turns is left out."""
        self._answered += 1
        self.deliveries += taken.deliveries
        mine = set(taken.lost) - {r for s in owed for r in _receipts(s)}
        self._lost = mine if self._lost is None else self._lost & mine
        self._board = max(self._board, taken.board)
        if taken.next_due is not None:
            self._due.append(taken.next_due)

    def whole(self) -> Taken:
        """Raises what failed if nobody answered."""
        if not self._answered and self.failure is not None:
            raise self.failure
        return Taken(sorted(self._lost or ()), self.deliveries, min(self._due) if self._due else None, self._board)


class Together:
    """The verbs that differ when there are several clusters."""

    def __init__(self, nodes: Sequence[Node], ask: Callable[..., Any]) -> None:
        self._nodes, self._ask = nodes, ask
        self._role: Role = "look"
        self._down: dict[int, float] = {}
        self._pinned: dict[str, int] = {}
        self._terms: dict[tuple[str, str], Terms] = {}
        self._turns: dict[tuple[str, str], int] = {}
        self._leased_at: dict[tuple[str, str], tuple[int, int]] = {}
        self._owed: dict[tuple[str, str, int], list[Settlement]] = {}
        self._owed_effects: dict[tuple[str, str, int], dict[int, Sequence[Effect]]] = {}
        """What the settlements that are kept for a cluster leave behind."""

    def _try(self, index: int, verb: Callable[..., Any], *args: Any) -> Any:
        node = self._nodes[index]
        try:
            if not node.is_open:
                node.open(self._role)
            answer = self._ask(node, verb, *args)
        except StoreUnavailable:
            self._down[index] = time.monotonic() + REST
            raise
        self._down.pop(index, None)
        return answer

    def _resting(self, index: int) -> bool:
        return self._down.get(index, 0.0) > time.monotonic()

    def open(self, role: Role) -> None:
        """One cluster that answers is enough; the others join when they are back."""
        self._role = role
        self._all(lambda node: None)

    def _all(self, verb: Callable[[Node], Any]) -> dict[int, Any]:
        answers: dict[int, Any] = {}
        failure: StoreUnavailable | None = None
        for index, node in enumerate(self._nodes):
            try:
                answers[index] = self._try(index, verb, node)
            except StoreUnavailable as error:
                failure = error
        if not answers and failure is not None:
            raise failure
        return answers

    def push(self, token: str, send: Callable[[Node], Sequence[int]]) -> Sequence[int]:
        """To the cluster that the token chooses, or to the next that answers. Where it may have arrived it is repeated,
        and nowhere else, or it would run twice.
        """
        pinned = self._pinned.get(token)
        first = crc32(token.encode()) % len(self._nodes)
        order = [pinned] if pinned is not None else [(first + i) % len(self._nodes) for i in range(len(self._nodes))]
        order.sort(key=self._resting)
        failure: StoreUnavailable | None = None
        for index in order:
            node = self._nodes[index]
            try:
                # Whether it is there is asked before the push, so that "no answer" is rarely "maybe".
                self._try(index, node.server_time)
            except StoreUnavailable as error:
                failure = error
                continue
            try:
                left = send(node)
            except StoreUnavailable:
                if len(self._pinned) > 10_000:
                    self._pinned.clear()
                self._pinned[token] = index
                raise
            self._pinned.pop(token, None)
            return left
        assert failure is not None
        raise StoreUnavailable(str(failure), maybe_pushed=pinned is not None)

    def join(self, queue: str, consumer: str, terms: Terms) -> None:
        self._terms[queue, consumer] = terms
        self._all(lambda node: node.join(queue, consumer, terms))

    def renew(self, consumers: Sequence[tuple[str, str]], seconds: float) -> Sequence[tuple[str, str]]:
        """Lost is who is fenced or closed on one cluster, or unknown on all: on one that was down at the join it is
        not known yet.
        """
        answers = self._all(lambda node: node.renew(consumers, seconds))
        lost: list[tuple[str, str]] = []
        for pair in consumers:
            doubtful = [index for index, found in answers.items() if pair in found]
            if doubtful and (
                len(doubtful) == len(answers)
                or any(self._try(index, self._nodes[index].ended, *pair) for index in doubtful)
            ):
                lost.append(pair)
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
        holds_nothing: bool,
        effects: Mapping[int, Sequence[Effect]],
    ) -> Taken:
        """Settlements go to the clusters that hold their receipts; one cluster leases, each in its turn.

        A turn that one cluster may have answered with a batch is repeated there and nowhere else: two batches under
        the same receipts could not be told apart. A settlement for a cluster that is down is kept and goes first.
        """
        key = (queue, consumer)
        rows = self._rows(queue, consumer)
        last = max([self._turns.get(key, 0), *(row.turn for row in rows.values())])
        if turn not in (last, last + 1) or turn < 1:
            raise Fenced(f"consumer {consumer} of {queue!r} sent turn {turn}; expected {last} again or {last + 1}")
        pinned = self._leased_by(key, turn, rows)
        # Who is asked is who knows this consumer: one that was left alone then may have been away when it joined.
        order = sorted(range(len(self._nodes)), key=lambda i: (i not in rows, (i - turn) % len(self._nodes)))
        shares = self._shares(key, rows, settlements)
        # What none of them holds is asked of all: it is lost if all say so, and one of them may know that the keeper
        # settled it. The answers are kept there, so a repeat by another process adds up to the same.
        nobody = shares.pop(-1, [])
        self._turns[key] = turn
        answer = _Answer()
        for index in order if pinned is None else [pinned, *(i for i in order if i != pinned)]:
            share, owed = shares.get(index, []), self._owed.get((*key, index), [])
            if index not in rows and index != pinned:
                self._owe((*key, index), share, effects)
                continue
            wanted = 0 if answer.deliveries else limit
            if wanted:
                self._leased_at[key] = (turn, index)
            parts = [*owed, *share, *nobody]
            theirs = {**self._owed_effects.get((*key, index), {}), **effects}
            args = (queue, consumer, turn, base, parts, wanted, max_bytes, holds_nothing, theirs)
            try:
                taken: Taken = self._exchange(index, *args)
            except StoreUnavailable as error:
                if wanted:
                    raise
                self._owe((*key, index), share, effects)
                answer.failure = error
                continue
            self._paid((*key, index))
            answer.add(taken, owed)
        return answer.whole()

    def _exchange(self, index: int, queue: str, consumer: str, *args: Any) -> Taken:
        """With one cluster; it hears of a join anew that it does not know of: it was down then, or crashed before it stood
        in its journal.
        """
        node, terms = self._nodes[index], self._terms.get((queue, consumer))
        try:
            return self._try(index, node.exchange_in, queue, consumer, *args)  # type: ignore[no-any-return]
        except Fenced:
            if terms is None or self._try(index, node.row, queue, consumer) is not None:
                raise
        self._try(index, node.join, queue, consumer, terms)
        return self._try(index, node.exchange_in, queue, consumer, *args)  # type: ignore[no-any-return]

    def _rows(self, queue: str, consumer: str) -> dict[int, Row]:
        rows: dict[int, Row] = {}
        failure: StoreUnavailable | None = None
        for index, node in enumerate(self._nodes):
            if self._resting(index):
                continue
            try:
                row = self._try(index, node.row, queue, consumer)
                terms = self._terms.get((queue, consumer))
                if row is None and terms is not None:
                    # It was down when this consumer joined.
                    self._try(index, node.join, queue, consumer, terms)
                    row = self._try(index, node.row, queue, consumer)
            except StoreUnavailable as error:
                failure = error
                continue
            if row is None or row.state != 0:
                raise Fenced(
                    f"consumer {consumer} of {queue!r} is unknown at {node.shown}, closed, or was taken for dead"
                )
            rows[index] = row
        if not rows:
            raise failure or StoreUnavailable("none of the clusters answers")
        return rows

    def _shares(
        self, key: tuple[str, str], rows: dict[int, Row], settlements: Sequence[Settlement]
    ) -> dict[int, list[Settlement]]:
        """Which cluster each settlement is for; under -1 what none of them holds."""
        shares: dict[int, list[Settlement]] = {}
        for settlement in settlements:
            parts: dict[int, list[int]] = {}
            for receipt in _receipts(settlement):
                home = next((i for i in range(len(self._nodes)) if self._nodes[i].knows(*key, receipt)), -1)
                parts.setdefault(home, []).append(receipt)
            for home, receipts in parts.items():
                if isinstance(settlement, (Done, Back)):
                    shares.setdefault(home, []).extend(type(settlement)(r, r) for r in receipts)
                else:
                    shares.setdefault(home, []).append(settlement)
        return shares

    def _leased_by(self, key: tuple[str, str], turn: int, rows: dict[int, Row]) -> int | None:
        """The cluster that may have answered this turn with a batch."""
        at = self._leased_at.get(key, (0, -1))
        if at[0] == turn:
            return at[1]
        return next((i for i, row in rows.items() if row.turn == turn and row.batch()), None)

    def _paid(self, key: tuple[str, str, int]) -> None:
        self._owed.pop(key, None)
        self._owed_effects.pop(key, None)

    def _owe(self, key: tuple[str, str, int], share: list[Settlement], effects: Mapping[int, Sequence[Effect]]) -> None:
        if share:
            self._owed[key] = [*self._owed.get(key, []), *share]
            mine = {receipt: effects[receipt] for one in share for receipt in _receipts(one) if receipt in effects}
            self._owed_effects.setdefault(key, {}).update(mine)

    def dead(self, queue: str, limit: int, after: str | None, whole: bool = True) -> Sequence[Letter]:
        """Newest first over all clusters; at the same moment the letters of an earlier one come first."""
        if after is None:
            lists = self._all(lambda node: node.dead(queue, limit, whole=whole))
        else:
            found = self._all(lambda node: node.letters(queue, after))
            marks = [(index, x.at) for index, letters in found.items() for x in letters if x.id == after]
            if not marks:
                return []
            home, at = marks[0]

            def behind(node: Node) -> Sequence[Letter]:
                index = self._nodes.index(node)
                if index == home:
                    return node.dead(queue, limit, after=after, whole=whole)
                return node.dead_before(queue, limit, at, index > home, whole)

            lists = self._all(behind)
        return sorted((x for letters in lists.values() for x in letters), key=lambda x: -x.at)[:limit]


def _receipts(settlement: Settlement) -> Sequence[int]:
    if isinstance(settlement, (Done, Back)):
        return range(settlement.first, settlement.last + 1)
    assert isinstance(settlement, (Again, Park, Dead))
    return [settlement.receipt]
