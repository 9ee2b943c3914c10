"""What a tree has counted: its ledger and the pages of its workers, read together while both change."""

from __future__ import annotations

from pathlib import Path

from regiment.contracts import MOST_NAMES, OTHER_NAMES
from regiment_runner.shared.ledger import Ledger
from regiment_runner.shared.page import Page
from regiment_runner.shared.tally import Tallies, add, tallies

TRIES = 20
"""How often the files are read anew because a page went away meanwhile."""


def into(total: Tallies, more: Tallies) -> None:
    """Add `more` to `total`, for at most so many names as a request may have."""
    for name, row in more.items():
        room = name in total or len(total) < MOST_NAMES - 1
        add(total, {name if room else OTHER_NAMES: row})


def ended(folder: Path) -> dict[str, Tallies]:
    """Queue -> what has ended in the tree of this folder, also in workers that have ended since.

    The pages are read first: a worker that ends meanwhile is in the ledger then, which names those whose page may still be there. A page
    that is gone after that, and that the ledger does not name, may have been added before the ledger was read or after: read anew.
    """
    for _ in range(TRIES):
        pages = _pages(folder)
        ledger = Ledger(folder)
        open_ones = [one for one in pages if one[0].stem not in ledger.closed]
        if all(path.exists() for path, _, _ in open_ones):
            break
    found = dict[str, Tallies]()
    for account in ledger.accounts.values():
        add(found.setdefault(account.queue, {}), account.total)
    for _, queue, tallied in open_ones:
        if tallied:
            into(found.setdefault(queue, {}), tallied)
    return found


def _pages(folder: Path) -> list[tuple[Path, str, Tallies]]:
    """(path, queue, what it counts) of each page that can be read."""
    found = []
    for path in sorted(folder.glob("*.page")):
        try:
            sheet = Page(path, read_only=True)
        except (OSError, ValueError):
            continue
        try:
            if sheet.damage() is None:
                queue = next((join.queue for index, join in sheet.joins() if index == 0), "")
                found.append((path, queue, tallies(sheet)))
        finally:
            sheet.close()
    return found
