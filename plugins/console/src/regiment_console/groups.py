"""Dead letters by what killed them: groups, and the letters that a filter chooses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from regiment.contracts import Connector, Letter
from regiment.errors import RegimentError, StoreUnavailable, nearest
from regiment_console import grouping, letters
from regiment_console.letters import Chosen
from regiment_console.store import Store, shown_name


class Wanted(NamedTuple):
    """Which letters are meant; what is None does not matter."""

    group: str | None = None
    error: str | None = None
    name: str | None = None
    upto: str | None = None
    """The id of the newest letter that is meant: what has died since was not seen by who says so."""

    def takes(self, one: dict[str, Any]) -> bool:
        """True if a letter is one of them, its place in time aside."""
        type_ = str(one.get("error_type") or one.get("kind") or "")
        return (
            self.group in (None, one["group"])
            and self.name in (None, one["name"])
            and self.error in (None, type_, type_.rpartition(".")[2])
        )


def group_of(letter: Letter) -> str:
    """The group of a letter, 8 hexadecimal digits."""
    return grouping.group_of(letters.reason_of(letter))


def grouped(connector: Connector, queues: Sequence[str]) -> list[dict[str, Any]]:
    """Letters counted by queue and group; the largest group first."""
    groups: dict[tuple[str, str], dict[str, Any]] = {}
    for queue in queues:
        try:
            for _, found in letters.pages(connector, queue):
                for letter in found:
                    _add(groups, queue, letters.in_words(queue, letter), group_of(letter))
        except StoreUnavailable:
            raise
        except Exception as error:
            _add(groups, queue, letters.blind(queue, error), "?")
    return sorted(groups.values(), key=lambda group: -group["count"])


def _add(groups: dict[tuple[str, str], dict[str, Any]], queue: str, one: dict[str, Any], group: str) -> None:
    at = one["at"]
    made = groups.setdefault(
        (queue, group),
        {
            "group": group,
            "count": 0,
            "queue": one["queue"],
            "name": one["name"],
            "kind": one["kind"],
            "error_type": one["error_type"],
            "error": one["error"],
            "newest": at,
            "oldest": at,
            "example": one["letter"],
        },
    )
    made["count"] += 1
    made["newest"], made["oldest"] = max(made["newest"], at), min(made["oldest"], at)


def choose(connector: Connector, queue: str, ids: Sequence[str], wanted: Wanted) -> Chosen:
    """The letters that exist now, without those that are made meanwhile: those with these ids (of letters or tasks), or all; of
    them those that are wanted.
    """
    if wanted == Wanted():
        return letters.choose(connector, queue, ids)
    if wanted.upto is not None and not any(one.id == wanted.upto for one in connector.letters(queue, wanted.upto)):
        raise RegimentError(
            f'no dead letter "{wanted.upto}" in the queue "{queue}"; --upto names the newest one that is meant'
        )
    meant = {id for _, some in letters.choose(connector, queue, ids) for id in some} if ids else None
    chosen: Chosen = []
    reached, groups = wanted.upto is None, set[str]()
    for after, found in letters.pages(connector, queue):
        mine = []
        for letter in found:
            reached = reached or letter.id == wanted.upto
            one = {**letters.in_words(queue, letter), "group": group_of(letter)}
            groups.add(one["group"])
            if reached and (meant is None or letter.id in meant) and wanted.takes(one):
                mine.append(letter.id)
        if mine:
            chosen.append((after, mine))
    if wanted.group is not None and wanted.group not in groups:
        have = ", ".join(sorted(groups)[:20]) or "none"
        raise RegimentError(
            f'no group "{wanted.group}" in the queue "{queue}".{nearest(wanted.group, groups)} Groups there: {have}'
        )
    return chosen


def places(store: Store, words: Sequence[str]) -> list[tuple[str, list[str]]]:
    """What `QUEUE [IDS]`, or ids alone, name: queues, each with the ids that are meant in it (none: all)."""
    first, rest = words[0], list(words[1:])
    queues = list(store.looking.queues())
    if first in queues:
        return [(first, rest)]
    found: dict[str, list[str]] = {}
    for id in words:
        homes = [queue for queue, _ in letters.find(store.looking, queues, id)]
        if not homes:
            have = f"Queues there: {', '.join(map(shown_name, queues))}" if queues else "It has no queue."
            raise RegimentError(
                f'no queue named "{first}" in {store.where}, and no dead letter "{id}".{nearest(first, queues)} {have}'
            )
        for queue in dict.fromkeys(homes):
            found.setdefault(queue, []).append(id)
    return list(found.items())
