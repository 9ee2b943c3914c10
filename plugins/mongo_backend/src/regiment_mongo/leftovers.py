"""What somebody has left behind at a queue and not sent on: every renewal, release and look of an exchange finds it (E8).

`oa` of a consumer's document is the server's time of the last entry of its outbox, as a number, and goes with the outbox. An index has the
documents with `oa` alone; so it finds them whatever else they say: of a consumer that lives and is silent, that is overdue, closed, or
taken back by a release that does not know effects. For `GRACE` the owner is expected to send it on himself.

An exchange looks only where the queue's row says that tasks of this queue leave something behind (`ef`, written once, before the first of
them), and once a second. So an exchange of other queues asks for nothing more. Renewals and releases are rare, and look without asking the row.
"""

from __future__ import annotations

import time

from regiment_mongo.applying import AT_A_TIME, GRACE
from regiment_mongo.base import Stale
from regiment_mongo.layout import Document
from regiment_mongo.ledger import Facts
from regiment_mongo.moments import Moment
from regiment_mongo.moving import LIVING, Moves

SPARE = 0.3
"""Seconds after which one look begins with no further consumer: who looks has work of his own, and a timeout."""

PAYLOADS: Document = {"held.b": 0, "held.n": 0}
"""What is not wanted of a consumer's document."""


class Leftovers(Moves):
    """For renewals, releases and exchanges."""

    def send_on(self, queue: str) -> None:
        """Send on what consumers, and calls of `apply`, have left at a queue and nobody has sent on yet."""
        if not self.clock.vague:
            self.server_time()  # nothing has told it yet
        self._sweep(queue)
        self._gather(queue)

    def look_after(self, queue: str, asker: str, facts: Facts, moment: Moment) -> None:
        """The same in an exchange, if the queue's row says that there may be something: calls of `apply` since the last look,
        or tasks that leave something behind. `asker`: who exchanges, and sends on his own himself.
        """
        self.heed(queue, moment)
        if moment.applied != facts.applied and self._sweep(queue):
            facts.applied = moment.applied
        now = time.monotonic()
        if moment.leaving and now - facts.gathered > GRACE / 1000:
            facts.gathered = now
            self._gather(queue, asker)

    def _gather(self, queue: str, asker: str = "") -> None:
        """Send on what consumers have left, those first that left it first."""
        end, now = time.monotonic() + SPARE, int(self.clock.now())
        late: Document = {"q": queue, "oa": {"$lt": now - GRACE}}
        found = list(self._consumers.find(late, {"oa": 1}, hint="left").sort("oa", 1).limit(AT_A_TIME))
        for one in found:
            if one["_id"] == asker:
                continue
            self._gather_from(one["_id"], one["oa"], now)
            if time.monotonic() > end:
                break

    def _gather_from(self, name: str, left_at: int, now: int) -> None:
        document = self._consumers.find_one({"_id": name}, PAYLOADS)
        if document is None or document.get("oa") != left_at:
            return
        if "tx" in document and document["tx"]["at"] > now - LIVING:
            return  # its owner is at it
        try:
            whole = self.empty(self._row(document))
        except Stale:
            return
        if not whole:
            # A cluster is away. Whoever looks next begins with the others, and comes back to this one after `GRACE`.
            self._consumers.update_one({"_id": name, "oa": left_at}, {"$set": {"oa": now}})
