"""Which limits count while trees of several releases live: the newest one's, and where an older one bounds more, its bound. So what
an old release protects is protected while its tasks run, whatever the new one says. Nothing here speaks to a store.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from regiment.contracts import Rule
from regiment.contracts.flow import as_rule
from regiment_cli.release import Release, newer, of, order

Rules = Mapping[str, Rule]
"""Pool -> its rule; that of the queue is under the empty name."""


class Say(NamedTuple):
    """What the code of some trees says."""

    rules: dict[str, Rule]
    trees: tuple[Release, ...]


def read(data: Mapping[str, Any]) -> list[Say]:
    """What a record holds; that of an earlier release holds the rules of one tree."""
    if "says" in data:
        return [Say(_rules(one["rules"]), tuple(Release(*tree) for tree in one["trees"])) for one in data["says"]]
    return [Say(_rules(data["rules"]), (of(data),))] if data.get("by") else []


def write(says: Sequence[Say]) -> dict[str, Any]:
    """A record: what each says; and what counts and who decides, where an earlier release has them."""
    first = newest(says)
    return {
        **(Release("", 0.0, "") if first is None else max(first.trees, key=order)).data(),
        "rules": as_data(counting(says)),
        "says": [{"rules": as_data(one.rules), "trees": one.trees} for one in says],
    }


def told(says: Sequence[Say], mine: Release, rules: Rules, gone: Collection[str] = ()) -> list[Say]:
    """The same after this tree has said its rules, and without the trees that are gone."""
    left = [one._replace(trees=tuple(tree for tree in one.trees if tree.by not in gone)) for one in says]
    if any(one.rules == rules and is_in(one, mine) for one in left):
        return [one for one in left if one.trees]
    left = [one._replace(trees=tuple(tree for tree in one.trees if tree.by != mine.by)) for one in left]
    for n, one in enumerate(left):
        if one.rules == rules:
            left[n] = one._replace(trees=(*one.trees, mine))
            break
    else:
        left.append(Say(dict(rules), (mine,)))
    return [one for one in left if one.trees]


def newest(says: Sequence[Say]) -> Say | None:
    """What the newest release says; of two that name the same release the later start counts."""
    best: tuple[Release, Say] | None = None
    pairs = [(tree, one) for one in says for tree in one.trees]
    for tree, say in sorted(pairs, key=lambda pair: pair[0].started):
        if best is None or newer(tree, best[0]) or tree.release == best[0].release:
            best = tree, say
    return None if best is None else best[1]


def is_in(one: Say, tree: Release) -> bool:
    """True if this tree says so; its workers may take it for younger than it is."""
    return any((there.by, there.release) == (tree.by, tree.release) for there in one.trees)


def counting(says: Sequence[Say]) -> dict[str, Rule]:
    """The rules that count."""
    first = newest(says)
    if first is None:
        return {}
    found: dict[str, Rule] = dict(first.rules)
    for one in says:
        if one is not first:
            for pool, rule in one.rules.items():
                both = tighter(found.get(pool), rule)
                if both is not None:
                    found[pool] = both
    return found


def tighter(one: Rule | None, other: Rule | None) -> Rule | None:
    """What keeps both rules; turns are as the first one has them."""
    if one is None or other is None:
        one, other = one or Rule(), other or Rule()
        return None if one == other else _both(one, other)
    return _both(one, other)


def _both(one: Rule, other: Rule) -> Rule:
    rated = [rule for rule in (one, other) if rule.rate]
    slowest = min(rated, key=lambda rule: rule.rate[0] / rule.rate[1] if rule.rate else 0.0, default=one)
    return Rule(
        at_once=_least(one.at_once, other.at_once),
        rate=slowest.rate,
        burst=min([rule.burst for rule in rated], default=1),
        weight=one.weight,
        waiting=_least(one.waiting, other.waiting),
        lanes=tighter(one.lanes, other.lanes),
    )


def _least(one: int | None, other: int | None) -> int | None:
    return min([limit for limit in (one, other) if limit], default=None)


def as_data(rules: Rules) -> dict[str, Any]:
    """Rules as plain data, the same whoever wrote them."""
    return {pool: _plain(rule) for pool, rule in rules.items()}


def _plain(rule: Rule) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(json.dumps(rule._asdict()))
    made["lanes"] = None if rule.lanes is None else _plain(rule.lanes)
    return made


def _rules(data: Mapping[str, Any]) -> dict[str, Rule]:
    return {pool: _rule(one) for pool, one in data.items()}


def _rule(data: Mapping[str, Any]) -> Rule:
    return as_rule([data.get(field) for field in Rule._fields[:-1]] + [None])._replace(
        lanes=_rule(data["lanes"]) if data.get("lanes") else None
    )
