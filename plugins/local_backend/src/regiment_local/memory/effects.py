"""What a step leaves behind. The rules E1 to E12 are those of `docs/guarantees.md`; here is one place, so there is no outbox."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence

from regiment.contracts import MOST_MEMBERS, Arrive, Drop, Effect, Join, Keep, Record, Seal, Send, Shut, check_tickets
from regiment_local.memory.admitting import admit
from regiment_local.memory.pushing import put
from regiment_local.memory.store import Store


class Step:
    """The effects of one step at one queue. All of them are looked through when it is made, before anything is changed."""

    def __init__(self, store: Store, queue: str, effects: Iterable[Sequence[Effect]]) -> None:
        self._store, self._queue = store, queue
        self._then: deque[tuple[str, Effect]] = deque()
        self._sent = self._number = 0
        self.left_out: list[int] = []
        self.version = 0
        for some in effects:
            look_through(some)

    def apply(self, effects: Iterable[Effect]) -> None:
        """Apply them in order, then what the joins that became complete have in store."""
        for effect in effects:
            left_out = self._apply(effect, self._queue)
            if isinstance(effect, Send) and effect.queue == self._queue:
                self.left_out += [self._sent + index for index in left_out]
                self._sent += len(effect.payloads)
        while self._then:
            queue, effect = self._then.popleft()
            self._apply(effect, queue)

    def of(self, taken: Iterable[int], effects: Mapping[int, Sequence[Effect]]) -> None:
        """Apply the effects of the receipts that were taken, in the order of the receipts (E1)."""
        for receipt in sorted(set(taken).intersection(effects)):
            self.apply(effects[receipt])

    def _apply(self, effect: Effect, home: str) -> Sequence[int]:
        """One effect; `home` is the queue meant where it names none. The indexes of payloads left out."""
        if isinstance(effect, Send) and effect.tickets is not None:
            put_with = (effect.priority, effect.delay, effect.at, effect.ids, effect.id_window)
            met = admit(self._store.queue(effect.queue), effect.payloads, effect.tickets, *put_with)
            return [one.index for one in met if one.did != "replaced"]
        if isinstance(effect, Send):
            return put(
                self._store.queue(effect.queue),
                effect.payloads,
                effect.priority,
                effect.delay,
                effect.at,
                effect.ids,
                effect.id_window,
            )
        if isinstance(effect, Keep):
            self._keep(effect, home if effect.queue is None else effect.queue)
        elif isinstance(effect, Drop):
            for key in effect.keys:
                self._store.queue(home if effect.queue is None else effect.queue).records.drop(key)
        else:
            joins = self._store.queue(effect.queue).joins
            if isinstance(effect, Join):
                then = joins.open(effect)
            elif isinstance(effect, Arrive):
                then = joins.arrive(effect)
            elif isinstance(effect, Seal):
                then = joins.seal(effect)
            else:
                then = joins.shut(effect)
            self._then += [(effect.queue, one) for one in then]
        return ()

    def _keep(self, keep: Keep, queue: str) -> None:
        records = self._store.queue(queue).records
        old = records.get(keep.key)
        if old is not None and old[0].rank > keep.rank:
            return  # E11
        self._number = self._number or next(self._store.versions)
        if queue == self._queue:
            self.version = self._number
        record = Record(bytes(keep.value), self._number, keep.rank)
        records.put(keep.key, (record, keep.listed), keep.ttl)
        self._store.followers.kept((queue, keep.key), record)


def look_through(effects: Sequence[Effect]) -> None:
    """ValueError or TypeError for an effect that cannot be applied."""
    for effect in effects:
        if not isinstance(effect, (Keep, Send, Join, Arrive, Seal, Shut, Drop)):
            raise TypeError(f"{effect!r} is no effect; expected Keep, Send, Join, Arrive, Seal, Shut or Drop")
        if isinstance(effect, Send) and effect.ids is not None and len(effect.ids) != len(effect.payloads):
            raise ValueError(
                f"{len(effect.ids)} ids for {len(effect.payloads)} payloads; expected one for each, or None"
            )
        if isinstance(effect, Send) and effect.tickets is not None:
            check_tickets(effect.payloads, effect.tickets, effect.ids)
        if isinstance(effect, (Join, Seal)) and effect.members is not None and effect.members > MOST_MEMBERS:
            raise ValueError(f"a join of {effect.members} members; expected at most {MOST_MEMBERS}")
        if isinstance(effect, Join):
            look_through(effect.then)
