"""What a tree counts: the pages of its living workers and the ledger of the others; and once a minute its stores are told.

Each store that keeps `history` gets what has ended since it was told last, in one request for each queue in which anything has. What is
sent is written down first, so a keeper that follows one that was killed sends the same under the same number, and it counts once.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterable, Sequence

from regiment.broker import extras
from regiment.contracts import HISTORY, Connector, Tallied
from regiment_runner.keeper.store import PAST, Store
from regiment_runner.keeper.ward import Ward
from regiment_runner.shared.counting import into
from regiment_runner.shared.ledger import Account, Ledger
from regiment_runner.shared.tally import WIDTH, Tallies, add, tallies

FIRST, EVERY = 10.0, 60.0
"""Seconds until the stores are told for the first time, and between two times."""


class Books:
    """The accounts of a tree, for its keeper. Its loop calls all of it; the threads of the stores tell, under a lock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ledger: Ledger | None = None
        self._wards: list[Ward] = []
        self._seen: dict[str, Tallies] = {}
        """Worker -> what its page said last: it counts on if the page is given up."""
        self.due = float("inf")
        """Monotonic time at which to tell the stores."""

    def open(self, ward: Ward) -> None:
        """Count this worker."""
        with self._lock:
            if self._ledger is None:
                self._ledger = Ledger(ward.page.path.parent)
                self.due = time.monotonic() + FIRST
        if ward.name not in self._ledger.closed:
            self._wards.append(ward)

    def close(self, ward: Ward) -> None:
        """Its process has ended: what it had counted is in the ledger before its page can go, once however often this is said."""
        if self._ledger is None or ward not in self._wards:
            return
        self._wards.remove(ward)
        with self._lock:
            into(self._account(ward).total, self._counted(ward, dead=True))
            del self._seen[ward.name]
            self._ledger.closed[ward.name] = str(ward.page.path)
            self._ledger.save()

    def tell(self, stores: Iterable[Store], *, last: bool = False) -> None:
        """Have each store told what it does not know yet; the `last` time whether or not it was told the time before."""
        self.due = time.monotonic() + EVERY
        with self._lock:
            totals: dict[Store, dict[str, Tallies]] = {store: {} for store in stores}
            for ward in self._wards:
                key = self._key(ward)
                total = totals[ward.store].setdefault(key, _copy(self._account(ward).total))
                into(total, self._counted(ward))
            for key, account in self._ledger.accounts.items() if self._ledger else ():
                for store in totals:
                    if key.startswith(_mark(store)):
                        totals[store].setdefault(key, _copy(account.total))
        for store, each in totals.items():
            if any(_grown(self._ledger.accounts[key], total) for key, total in each.items() if self._ledger):
                store.ask(("history", last), _Told(self, each), turn=PAST)

    def _counted(self, ward: Ward, *, dead: bool = False) -> Tallies:
        known, now = self._seen.get(ward.name, {}), tallies(ward.page, dead=dead)
        for name, row in known.items():
            now[name] = [max(pair) for pair in zip(row, now.get(name, row), strict=True)]
        self._seen[ward.name] = now
        return now

    def _key(self, ward: Ward) -> str:
        return _mark(ward.store) + str(ward.spec["queue"])

    def _account(self, ward: Ward) -> Account:
        assert self._ledger is not None
        return self._ledger.of(self._key(ward), str(ward.spec["queue"]))

    def told(self, connector: Connector, key: str, total: Tallies) -> None:
        """In the thread of a store: tell it of one queue what was not answered, and then what is new."""
        assert self._ledger is not None
        while True:
            with self._lock:
                account = self._ledger.accounts[key]
                if not account.telling:
                    account.telling = _grown(account, total)
                    if not account.telling:
                        return
                    account.number += 1
                    self._ledger.save()
                source, number, rows = self._ledger.source, account.number, _rows(account)
            connector.record(account.queue, source, number, rows)  # type: ignore[attr-defined]
            with self._lock:
                add(account.told, account.telling)
                account.telling = {}
                self._ledger.save()


class _Told:
    """What a store is to be told; its thread repeats it until it is answered."""

    def __init__(self, books: Books, totals: dict[str, Tallies]) -> None:
        self._books, self._totals = books, totals

    def __call__(self, connector: Connector) -> None:
        if HISTORY in extras(connector):
            for key, total in self._totals.items():
                self._books.told(connector, key, total)


def _mark(store: Store) -> str:
    """Which store an account is of, without what its address may hold."""
    spec = json.dumps(store.spec, sort_keys=True, default=repr)
    return hashlib.sha256(spec.encode()).hexdigest()[:16] + " "


def _copy(rows: Tallies) -> Tallies:
    return {name: list(row) for name, row in rows.items()}


def _grown(account: Account, total: Tallies) -> Tallies:
    """What is in `total` and was not told; a page that was given up takes nothing back."""
    grown = {}
    for name, row in total.items():
        told = account.told.get(name, [0] * WIDTH)
        more = [max(0, value - known) for value, known in zip(row, told, strict=True)]
        if any(more[:-1]):
            grown[name] = more
    return grown


def _rows(account: Account) -> Sequence[Tallied]:
    """As a store is told: milliseconds in whole numbers, without losing what is left over of each."""
    rows = []
    for name, (*counts, ran) in account.telling.items():
        before = account.told.get(name, [0])[-1]
        rows.append(Tallied(name, tuple(counts), (before + ran) // 1_000_000 - before // 1_000_000))
    return rows
