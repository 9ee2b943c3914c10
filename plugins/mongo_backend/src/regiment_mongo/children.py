"""Tasks that a step sends: each carries a token of its own, so that it is stored once, however often it is relayed within an hour."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from os import urandom

from bson import ObjectId
from pymongo.errors import DuplicateKeyError

from regiment.contracts import Ticket
from regiment_mongo.base import DUPLICATE
from regiment_mongo.effects import Line, sends
from regiment_mongo.layout import Document
from regiment_mongo.moments import Moment, date
from regiment_mongo.spots import shelved, ticket_fields
from regiment_mongo.tokens import Tokens

HOUR = 3_600_000
"""Milliseconds that a child's token is remembered."""


class Children(Tokens):
    """What is sent."""

    def _send(self, entry: Document, lines: Sequence[Line]) -> set[int]:
        """Store all payloads that a step sends; the numbers of those that are left out because their id was known."""
        wanted = list(sends(lines))
        if not wanted:
            return set()
        for _, line in wanted:
            if len(line) > 8:
                self.flag(line[1])
        moments = self._places(wanted)
        used: Counter[tuple[str, int]] = Counter()
        head = urandom(8)
        documents: list[Document] = []
        left: set[int] = set()
        for first, line in wanted:
            queue, payloads, priority = line[1], line[2], line[3]
            moment = moments[queue, priority]
            out = self._reserve_for(entry, first, line, moment)
            left |= {first + index for index in out}
            due = _due(entry, line)
            for index, payload in enumerate(payloads):
                if index in out:
                    continue
                place = moment.first + used[queue, priority]
                used[queue, priority] += 1
                task = {
                    "_id": ObjectId(head + (first + index).to_bytes(4, "big")),
                    "q": queue,
                    "p": priority,
                    "b": payload,
                    "tk": _name(entry, queue, first + index),
                    "te": moment.now + HOUR,
                }
                task |= {"s": place, "w": moment.now} if due <= moment.now else {"at": due, "d": place}
                if line[6] is not None:
                    task["i"] = line[6][index]
                if len(line) > 8:
                    ticket = Ticket(*line[8][index])
                    task |= ticket_fields(ticket, moment.now)
                    if ticket.unique:
                        if self.send_with_key(task, ticket, due if due > moment.now else None, moment):
                            left.add(first + index)
                        continue
                documents.append(shelved(task))
        try:
            self.store(self._tasks, documents, None, self.firm)
        except DuplicateKeyError:
            pass  # relayed before
        self._tell_of(moments)
        return left

    def _tell_of(self, moments: Mapping[tuple[str, int], Moment]) -> None:
        """Tell those who wait of what was sent to each queue and priority."""
        for queue in dict.fromkeys(name for name, _ in moments):
            if any(moment.new_priority for (name, _), moment in moments.items() if name == queue):
                self.refresh(queue)
            self.poke(queue)

    def send_with_key(self, task: Document, ticket: Ticket, due: int | None, moment: Moment) -> bool:
        """Store a task that has a key, once; True if it is left out because another has the key."""
        raise NotImplementedError

    def _places(self, wanted: Sequence[tuple[int, Line]]) -> dict[tuple[str, int], Moment]:
        """Places in the order for all that goes to one queue with one priority."""
        numbers: Counter[tuple[str, int]] = Counter()
        for _, line in wanted:
            numbers[line[1], line[3]] += len(line[2])
        return {(q, p): self.moment(q, numbers=number, priority=p) for (q, p), number in numbers.items()}

    def _reserve_for(self, entry: Document, first: int, line: Line, moment: Moment) -> set[int]:
        """Write down the ids of a `Send` as its own: the indexes of those that another has, or that wait or run."""
        queue, ids = line[1], line[6]
        if ids is None:
            return set()
        names = {f"{queue} {id}": _name(entry, queue, first + index) for index, id in reversed(list(enumerate(ids)))}
        rows = self._ids.find({"_id": {"$in": list(names)}}, {"by": 1}, hint="_id_")
        mine = {row["_id"] for row in rows if row.get("by") == names[row["_id"]]}
        busy = self._busy(queue, [id for id in dict.fromkeys(ids) if f"{queue} {id}" not in mine])
        tries = [index for index, id in enumerate(ids) if id not in busy]
        expiry = date(moment.now + int(line[7] * 1000))
        statements: list[Document] = []
        for index in tries:
            by = _name(entry, queue, first + index)
            free = [{"by": by}, {"ex": {"$lte": date(moment.now)}}]
            row: Document = {"q": {"_id": f"{queue} {ids[index]}", "$or": free}, "upsert": True}
            statements.append({**row, "u": {"$set": {"ex": expiry, "by": by}}})
        out = set(range(len(ids))) - set(tries)
        if statements:
            try:
                self.ask({"update": self._ids.name, "ordered": False, "updates": statements}, self.firm)
            except DuplicateKeyError as error:
                assert isinstance(error.details, dict)
                out |= {tries[one["index"]] for one in error.details["writeErrors"] if one["code"] == DUPLICATE}
        return out

    def _busy(self, queue: str, ids: list[str]) -> set[str]:
        """Those of the ids that wait or run now."""
        if not ids:
            return set()
        found: set[str] = {row["i"] for row in self._tasks.find({"q": queue, "i": {"$in": ids}}, {"i": 1}, hint="ids")}
        held = self._consumers.find({"q": queue, "st": {"$lt": 2}, "held.i": {"$in": ids}}, {"held.i": 1})
        found |= {item["i"] for consumer in held for item in consumer["held"] if "i" in item}
        return found & set(ids)


def _name(entry: Document, queue: str, number: int) -> str:
    """The token of one child."""
    return f"{queue} {entry['t']} {number}"


def _due(entry: Document, line: Line) -> int:
    """Milliseconds of the server's clock; 0: at once."""
    if line[5] is not None:
        return int(line[5] * 1000)
    return entry["on"] + int(line[4] * 1000) if line[4] > 0 else 0
