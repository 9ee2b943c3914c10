"""The ledger of a tree: what its workers that have ended had counted, in a file of its folder that its keeper alone writes.

It is replaced as a whole, so a reader sees the old one or the new one, and a keeper that is killed has done all of a step or nothing.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from regiment_runner.shared.tally import WIDTH, Tallies

LEDGER = "ledger.json"
"""Name of the file in a tree's folder."""


PART = ".part"
"""What the name of a ledger ends with that is being written."""


class Account:
    """What is known of one queue of one store: `total` of the ended workers, `told` to the store, and what is being told."""

    def __init__(self, queue: str, total: Tallies, told: Tallies, number: int, telling: Tallies) -> None:
        self.queue, self.total, self.told, self.number, self.telling = queue, total, told, number, telling
        """`number` is that of the last request that was begun; it is not known to be answered while `telling` is not empty."""

    def plain(self) -> list[Any]:
        """As plain data."""
        return [self.queue, self.total, self.told, self.number, self.telling]


class Ledger:
    """All accounts of a tree, by store and queue. `source` is the name under which stores know this tree. Not for two threads at once."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / LEDGER
        self.source, self.accounts, self.closed = "", dict[str, Account](), dict[str, str]()
        """`closed`: worker -> path of its page, of those that are in the totals although their page may still be there."""
        try:
            found = json.loads(self._path.read_bytes())
            self.source, self.closed = str(found["source"]), dict(found["closed"])
            for key, (queue, total, told, number, telling) in found["accounts"].items():
                self.accounts[key] = Account(queue, _rows(total), _rows(told), int(number), _rows(telling))
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            self.accounts, self.closed, self.source = {}, {}, ""
        self.source = self.source or os.urandom(8).hex()

    def of(self, key: str, queue: str) -> Account:
        """The account of a queue."""
        return self.accounts.setdefault(key, Account(queue, {}, {}, 0, {}))

    def save(self) -> None:
        """Replace the file. Where the folder is gone, or has no room, what this process knows is all there is."""
        self.closed = {name: path for name, path in self.closed.items() if os.path.exists(path)}
        accounts = {key: account.plain() for key, account in self.accounts.items()}
        part = f"{self._path}{PART}"
        try:
            with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "w") as file:
                json.dump({"source": self.source, "closed": self.closed, "accounts": accounts}, file)
            os.replace(part, self._path)
        except OSError:
            pass


def _rows(found: Any) -> Tallies:
    rows = {str(name): [int(value) for value in row] for name, row in dict(found).items()}
    if any(len(row) != WIDTH for row in rows.values()):
        raise ValueError("a ledger of another release")
    return rows
