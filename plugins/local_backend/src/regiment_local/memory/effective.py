"""The verbs that the extra `effects` adds to the connector "memory"."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from regiment.contracts import Applied, Effect, Followed, Record, Tally, When
from regiment_local.memory.effects import Step
from regiment_local.memory.following import Inbox
from regiment_local.memory.opened import Opened
from regiment_local.memory.store import Store


class Effective(Opened):
    """Effects without a lease, what they kept, and who waits for it; each verb is one step under the store's lock."""

    def apply(
        self,
        queue: str,
        effects: Sequence[Effect],
        *,
        token: str,
        token_window: float = 60.0,
        when: Sequence[When] = (),
    ) -> Applied:
        found = self._not_inside_itself()
        step = Step(found, queue, [effects])
        with found.lock:
            at = found.queue(queue)
            before = at.applied.get(token)
            if before is not None:
                return before
            there = {one.key: _record(found, queue, one.key) for one in when}
            for key, version in when:
                record = there[key]
                if version != (0 if record is None else record.version):
                    return Applied(done=False, found=there, now=time.time())
            step.apply(effects)
            applied = Applied(True, step.left_out, step.version, now=time.time())
            at.applied.put(token, applied, token_window)
            return applied

    def records(self, queue: str, keys: Sequence[str]) -> Sequence[Record | None]:
        found = self._store()
        with found.lock:
            return [_record(found, queue, key) for key in keys]

    def listed(self, queue: str, limit: int = 100, *, after: str | None = None) -> Sequence[str]:
        found = self._store()
        with found.lock:
            keys = [key for key, (_, listed) in found.look(queue).records.newest_first() if listed]
        if after is not None:
            keys = keys[keys.index(after) + 1 :] if after in keys else []
        return keys[: max(0, limit)]

    def tallies(self, queue: str, joins: Sequence[str]) -> Sequence[Tally | None]:
        found = self._store()
        with found.lock:
            return [found.look(queue).joins.tally(name) for name in joins]

    def follow(self, keys: Mapping[Followed, int], seconds: float = 60.0) -> Mapping[Followed, Record]:
        found, inbox = self._store(), self._mine()
        there: dict[Followed, Record] = {}
        with found.lock:
            for key, rank in keys.items():
                record = _record(found, *key)
                found.followers.leave(inbox, key)
                if record is not None and record.rank >= rank:
                    there[key] = record
                else:
                    found.followers.follow(inbox, key, rank, seconds)
        return there

    def heard(self, seconds: float, wake_fd: int | None = None) -> Mapping[Followed, Record | None] | None:
        found, inbox = self._store(), self._mine()
        with found.lock:
            marks = inbox.take()
        if not marks:
            inbox.bell.sleep(seconds, wake_fd)
            with found.lock:
                marks = inbox.take()
        return marks

    def _mine(self) -> Inbox:
        if self._inbox is None:
            self._inbox = Inbox()
        return self._inbox


def _record(found: Store, queue: str, key: str) -> Record | None:
    kept = found.look(queue).records.get(key)
    return None if kept is None else kept[0]
