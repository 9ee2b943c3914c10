"""The rules of the code, at the store: written by the newest release that is alive, and taken back when no code has them.

Beside the queue a record says which rules the code has written, and which tree that was; the rules themselves count in the
store. Who writes them writes the rules first and the record last, so what was cut short is done again by the next look.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from regiment.contracts import Applied, Keep, Rule, Standing, When
from regiment.contracts.flow import as_rule
from regiment.task import new_id
from regiment_cli.release import Release, alive, newer, of

KEY = "limits"
"""Of the record."""
TRIES = 5
PAGE = 1000
"""Pools of one question."""

Rules = Mapping[str, Rule]
"""Pool -> its rule; that of the queue is under the empty name."""


def settle(
    store: Any, queue: str, rules: Rules, mine: Release, sure: bool = True, tripped: Collection[str] = ()
) -> bool | None:
    """Write the rules of this code, if it is this code's turn; True if they are those that count now. None if it were its turn
    only because the tree that has written them is missed, and the caller is not `sure` of that. Of pools whose breaker has `tripped`
    one task runs at a time, whatever the code says.

    `store` keeps `flow` and `effects`. A queue without rules, of which no code had any, is left as it is.
    """
    for _ in range(TRIES):
        (record,) = store.records(queue, [KEY])
        data = _read(record.value) if record is not None else {}
        before, owner = data.get("rules", {}), of(data)
        if record is None and not rules:
            return True
        same = bool(before == {pool: as_data(rule) for pool, rule in rules.items()})
        if record is not None and owner.by != mine.by:
            there = list(store.presence().values())
            lives = alive(owner, there)
            later = newer(mine, owner)
            if lives and not later:
                return same
            if not (lives or later or sure):
                return None
        elif same:
            return True
        if not same:
            _write(store, queue, rules, before, mine, tripped)
        value = json.dumps({**mine.data(), "rules": {pool: as_data(rule) for pool, rule in rules.items()}})
        when = [When(KEY, 0 if record is None else record.version)]
        applied: Applied = store.apply(queue, [Keep(KEY, value.encode(), None)], token=new_id(), when=when)
        if applied.done:
            return True
    return False


def probing(rule: Rule | None) -> Rule:
    """The rule of a pool whose breaker has tripped: one at a time, until one has succeeded."""
    return (rule or Rule())._replace(at_once=1)


def mend(store: Any, queue: str, rules: Rules, mine: Release, tripped: Collection[str] = ()) -> list[str]:
    """Put right what of the rules of this code is not at the store as it should be; the pools for which that was so.

    What an operator's rule covers cannot be seen, and is left as it was written.
    """
    found = {one.spot[0]: one for one in pools(store, queue) if one.spot == (one.spot[0], "")}
    wrong = []
    for pool in sorted({*rules, *tripped, *(name for name, one in found.items() if one.source == "code")}):
        one = found.get(pool)
        if one is not None and one.source == "operator":
            continue
        wanted = probing(rules.get(pool)) if pool in tripped else rules.get(pool)
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
    before = _read(record.value).get("rules", {}) if record is not None else {}
    found = sorted({*before, *(one.spot[0] for one in pools(store, queue) if one.source == "code")})
    for pool in found:
        store.rule(queue, (pool, ""), None)
    if record is not None:
        value = json.dumps({"release": "", "started": 0.0, "by": "", "rules": {}})
        store.apply(queue, [Keep(KEY, value.encode(), None)], token=new_id())
    return found


def _write(
    store: Any, queue: str, rules: Rules, before: Mapping[str, Any], mine: Release, tripped: Collection[str]
) -> None:
    """All rules of this code, also those that an operator's cover; and none where another release had some."""
    for pool in sorted({*rules, *before}):
        rule = rules.get(pool)
        store.rule(queue, (pool, ""), probing(rule) if pool in tripped else rule, by=_by(mine))


def written(store: Any, queue: str) -> dict[str, Rule]:
    """The rules of the code that counts, whoever wrote them."""
    (record,) = store.records(queue, [KEY])
    found = _read(record.value).get("rules", {}) if record is not None else {}
    return {pool: _rule(data) for pool, data in found.items()}


def _rule(data: Mapping[str, Any]) -> Rule:
    return as_rule([data.get(field) for field in Rule._fields[:-1]] + [None])._replace(
        lanes=_rule(data["lanes"]) if data.get("lanes") else None
    )


def _by(mine: Release) -> str:
    return f"{mine.release or 'code'} of {mine.by}"[:150]


def as_data(rule: Rule) -> dict[str, Any]:
    """A rule as plain data, the same whoever wrote it."""
    made: dict[str, Any] = json.loads(json.dumps(rule._asdict()))
    made["lanes"] = None if rule.lanes is None else as_data(rule.lanes)
    return made


def _read(value: bytes) -> dict[str, Any]:
    """The record; one that another release has written otherwise is nobody's."""
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) and isinstance(found.get("rules"), dict) else {}
