"""The rules of the code, at the store: the newest release that is alive decides, what an older living one bounds more stays bounded
(`overlap`), and what no code has any more is taken back.

Beside the queue a record says what the code of each living tree says; from it follows what counts. Whoever changes the record writes
what follows from it, and looks whether the record is still the same: else he does it again. So of two who write at the same time the
last one writes what follows from both. A lock keeps others off in between, so that nobody is seen to lease by half of it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from regiment.contracts import Applied, Keep, Rule, Standing, When
from regiment.task import new_id
from regiment_cli.release import Release, alive
from regiment_limits import overlap
from regiment_limits.overlap import Rules, Say

KEY = "limits"
"""Of the record."""
NEW = "limits:new:{}"
"""Of the mark of a tree that has just said its rules, and is perhaps not announced yet: it is not missed until the mark is over."""
NEWBORN = 10.0
"""Seconds for which such a mark is there."""
LOCKED = 4.0
"""Seconds after which the lock of one who was killed is free."""
TRIES = 8
PAGE = 1000
"""Pools of one question."""

Tripped = Callable[[], Collection[str]]
"""Tells which pools have a breaker of this code that has tripped: of them one task runs at a time, whatever the code says."""


class Settled(NamedTuple):
    """What a tree knows after it has said its rules."""

    decides: bool = True
    """True if this code is the newest that lives."""
    rules: Rules = {}
    """What counts."""
    missed: frozenset[str] = frozenset()
    """Trees that have said something and are not there, and that the caller was not sure of."""
    mended: Sequence[str] = ()
    """Pools whose rule was not at the store as it should be."""


def _none() -> Collection[str]:
    return ()


def settle(
    store: Any,
    queue: str,
    rules: Rules,
    mine: Release,
    *,
    sure: Collection[str] | None = (),
    tripped: Tripped = _none,
    look: bool = False,
) -> Settled:
    """Have the rules of this code count as far as it is their turn. Of trees that are missed those are forgotten of which the caller
    is `sure`; None: of all. `look`: compare what counts with what is at the store, if this code decides.

    `store` keeps `flow` and `effects`. A queue without rules, of which no code had any, is left as it is.
    """
    _, before, after, missed = _read(store, queue, rules, mine, sure)
    decides = _decides(after, mine)
    if before == after and not (look and decides):
        return Settled(decides, overlap.counting(after), missed)
    mended, wrote = list[str](), dict[str, Rule | None]()
    with _alone(store, queue, mine):
        for _ in range(TRIES):
            version, before, after, missed = _read(store, queue, rules, mine, sure)
            counts = overlap.counting(after)
            decides = _decides(after, mine)
            if before != after:
                applied = _say(store, queue, version, before, after, mine)
                if not applied.done:
                    continue
                version = applied.version
            was = {**overlap.counting(before), **wrote}  # a turn before may have written what counts no more
            wrote |= _write(store, queue, counts, was, mine, tripped)
            if look and decides:
                mended += mend(store, queue, counts, mine, tripped)
            if _version(store, queue) == version:
                break
    return Settled(decides, counts, missed, mended)


def _decides(says: Sequence[Say], mine: Release) -> bool:
    first = overlap.newest(says)
    return first is None or overlap.is_in(first, mine)


def _read(
    store: Any, queue: str, rules: Rules, mine: Release, sure: Collection[str] | None
) -> tuple[int, list[Say], list[Say], frozenset[str]]:
    """The record's version, what is said, what is said after this tree has said its rules, and who is missed."""
    (record,) = store.records(queue, [KEY])
    if record is None and not rules:
        return 0, [], [], frozenset()
    says = overlap.read(_data(record))
    missed = _missed(store, queue, says, mine, patient=sure is not None)
    gone = missed if sure is None else missed.intersection(sure)
    after = overlap.told(says, mine, rules, gone)
    return 0 if record is None else record.version, says, after, missed - gone


def _missed(store: Any, queue: str, says: Sequence[Say], mine: Release, patient: bool) -> frozenset[str]:
    others = [tree for one in says for tree in one.trees if tree.by != mine.by]
    if not others:
        return frozenset()
    there = list(store.presence().values())
    absent = [tree.by for tree in others if not alive(tree._replace(release=""), there)]
    marks = store.records(queue, [NEW.format(by) for by in absent]) if absent and patient else [None] * len(absent)
    return frozenset(by for by, mark in zip(absent, marks, strict=True) if mark is None)


def _say(store: Any, queue: str, version: int, before: Sequence[Say], after: Sequence[Say], mine: Release) -> Applied:
    """Write the record, if it is still the one that was read."""
    keeps = [Keep(KEY, json.dumps(overlap.write(after)).encode(), None)]
    if not any(overlap.is_in(one, mine) for one in before):
        keeps.append(Keep(NEW.format(mine.by), b"", NEWBORN))
    applied: Applied = store.apply(queue, keeps, token=new_id(), when=[When(KEY, version)])
    return applied


def _version(store: Any, queue: str) -> int:
    (record,) = store.records(queue, [KEY])
    return 0 if record is None else record.version


@contextmanager
def _alone(store: Any, queue: str, mine: Release) -> Iterator[None]:
    """Keep others off for a while; who cannot goes on, for what was written is looked at afterwards."""
    name, owner, until = f"limits:{queue}", f"{mine.by}:{new_id()}", time.monotonic() + LOCKED
    while not store.lock_take(name, owner, LOCKED) and time.monotonic() < until:
        store.lock_wait(name, max(0.01, until - time.monotonic()))
    try:
        yield
    finally:
        store.lock_free(name, owner)


def probing(rule: Rule | None) -> Rule:
    """The rule of a pool whose breaker has tripped: one at a time, until one has succeeded."""
    return (rule or Rule())._replace(at_once=1)


def mend(store: Any, queue: str, rules: Rules, mine: Release, tripped: Tripped = _none) -> list[str]:
    """Put right what of these rules is not at the store as it should be; the pools for which that was so.

    What an operator's rule covers cannot be seen, and is left as it was written.
    """
    found = {one.spot[0]: one for one in pools(store, queue) if one.spot == (one.spot[0], "")}
    shut, wrong = tripped(), []  # asked for after the rules: who trips says so first
    for pool in sorted({*rules, *shut, *(name for name, one in found.items() if one.source == "code")}):
        one = found.get(pool)
        if one is not None and one.source == "operator":
            continue
        wanted = probing(rules.get(pool)) if pool in shut else rules.get(pool)
        if (None if one is None else one.rule) != wanted:
            store.rule(queue, (pool, ""), wanted, by=_by(mine))
            wrong.append(pool)
    return wrong


def pools(store: Any, queue: str) -> Iterator[Standing]:
    """How the queue and its pools stand."""
    after = None
    while True:
        page = store.standings(queue, PAGE, after=after)
        yield from page
        if len(page) < PAGE:
            return
        after = page[-1].spot


def forget(store: Any, queue: str) -> list[str]:
    """Take back all rules of the code, whoever lives; the pools that had one."""
    (record,) = store.records(queue, [KEY])
    before = _data(record).get("rules", {})
    found = sorted({*before, *(one.spot[0] for one in pools(store, queue) if one.source == "code")})
    for pool in found:
        store.rule(queue, (pool, ""), None)
    if record is not None:
        store.apply(queue, [Keep(KEY, json.dumps(overlap.write([])).encode(), None)], token=new_id())
    return found


def _write(
    store: Any, queue: str, rules: Rules, before: Mapping[str, Rule | None], mine: Release, tripped: Tripped
) -> dict[str, Rule | None]:
    """Write what counts now and did not before, also what an operator's rule covers; what was written."""
    changed = [pool for pool in sorted({*rules, *before}) if rules.get(pool) != before.get(pool)]
    shut = tripped() if changed else ()
    for pool in changed:
        rule = rules.get(pool)
        store.rule(queue, (pool, ""), probing(rule) if pool in shut else rule, by=_by(mine))
    return {pool: rules.get(pool) for pool in changed}


def put(
    store: Any, queue: str, pool: str, mine: Rule | None, made: Callable[[Rule | None], Rule | None], by: str
) -> None:
    """Set the rule of a pool to what is made of the one that counts, also if that changes meanwhile; where no code has said one,
    `mine` counts.
    """
    for _ in range(TRIES):
        counts = written(store, queue).get(pool, mine)
        store.rule(queue, (pool, ""), made(counts), by=by)
        if written(store, queue).get(pool, mine) == counts:
            return


def written(store: Any, queue: str) -> dict[str, Rule]:
    """The rules of the code that count."""
    (record,) = store.records(queue, [KEY])
    return overlap.counting(overlap.read(_data(record)))


def _by(mine: Release) -> str:
    return f"{mine.release or 'code'} of {mine.by}"[:150]


def _data(record: Any) -> dict[str, Any]:
    """What a record says; one that another release has written otherwise is nobody's."""
    try:
        found = json.loads(record.value)
        overlap.read(found)
    except (AttributeError, ValueError, TypeError, KeyError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
