"""Following records: `follow()` of `effects.sql` registers, a step that keeps one leaves a mark in the table, and a
notification ends the sleep. A mark waits in the table; the notification may be lost with its connection."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping

from regiment.contracts import ANSWERED_VALUE, Followed, Record
from regiment_postgres.effects import Effects, record
from regiment_postgres.link import text
from regiment_postgres.sleep import channel, doze, listen

FOLLOW = "SELECT * FROM follow(%(me)s, %(queues)s::text[], %(keys)s::text[], %(ranks)s::int8[], %(seconds)s)"
MARKS = """WITH gone AS (DELETE FROM follows WHERE who = %(me)s AND marked RETURNING queue, key)
    SELECT gone.queue, gone.key, CASE WHEN octet_length(value) <= %(most)s THEN value END, version, rank
    FROM gone LEFT JOIN kept ON kept.queue = gone.queue AND kept.key = gone.key AND (until IS NULL OR until > clock())"""

MARKS_LIVE = 300.0
"""Seconds that a mark is kept after the end of its registration, as `follow()` says."""


class Following(Effects):
    """follow and heard."""

    _me = ""
    """The name of this connector among those who follow; it outlives the connection."""
    _looked = 0.0
    """When it looked for marks last."""

    def follow(self, keys: Mapping[Followed, int], seconds: float = 60.0) -> Mapping[Followed, Record]:
        if not self._me:
            self._me = secrets.token_hex(8)
        asked = list(keys)
        rows = self._step(
            FOLLOW,
            me=self._me,
            queues=[queue for queue, _ in asked],
            keys=[text(key) for _, key in asked],
            ranks=list(keys.values()),
            seconds=seconds,
        )
        self._looked = time.monotonic()
        return {asked[n - 1]: Record(*row) for n, *row in rows}

    def heard(self, seconds: float, wake_fd: int | None = None) -> Mapping[Followed, Record | None] | None:
        end = time.monotonic() + seconds
        mine = [channel(self._link, "follower", self._me)] if self._me else []
        listen(self._link, mine)
        found = self._marks()
        if found or found is None or not doze(self._link, mine, end, wake_fd):
            return found
        return self._marks()

    def _marks(self) -> dict[Followed, Record | None] | None:
        """What was marked; None if marks may be gone because nobody has looked for so long."""
        if not self._me:
            return {}
        before, self._looked = self._looked, time.monotonic()
        if self._looked - before > MARKS_LIVE / 2:
            return None
        rows = self._step(MARKS, me=self._me, most=ANSWERED_VALUE)
        return {(queue, key): record(*row) for queue, key, *row in rows}
