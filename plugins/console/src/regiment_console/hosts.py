"""Rules of `regiment doctor` that compare what trees tell of themselves: F02, F08 to F11, F13."""

from __future__ import annotations

import os
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import cast

from regiment import __version__
from regiment.broker import extras
from regiment.codec import read_head
from regiment.contracts import STEER, Connector, Counts, Finding
from regiment.contracts.steer import Steered
from regiment.errors import DecodeError
from regiment_cli.serving import Target, Tree, lives
from regiment_cli.text import age, many
from regiment_console.seen import place_of
from regiment_console.store import shown_name

LOOKED_AT = 1000
"""Tasks of a state that a rule looks at."""
YOUNG = 30.0
"""Seconds for which a lease may be older than the first record of the tree that holds it."""
CRASHES = ("crash", "oom", "hook", "start")
"""Kinds of ends that nobody wants, be there only one."""
MANY_FOR_MEMORY = 10
"""How many ends for memory in an hour are a warning: some are what `--max-memory` is for."""


def rules(store: Connector, counts: Mapping[str, Counts], trees: Sequence[Tree]) -> Iterator[Finding]:
    """All of them."""
    by_label = _by_label(trees)
    yield from each("F02", idle(counts, trees))
    yield from each("F08", (other_code(label, found) for label, found in sorted(by_label.items())))
    yield from each("F09", (*other_releases(trees), *(lacking(label, found) for label, found in by_label.items())))
    yield from each("F10", unreadable(store, counts, trees))
    yield from each("F11", (crashing(label, [target for _, target in found]) for label, found in by_label.items()))
    yield from each("F13", (one for name in counts for one in gone(store, name, trees)))


def told(counts: Mapping[str, Counts], trees: Sequence[Tree]) -> Iterator[Finding]:
    """What those of them find that ask the store nothing."""
    yield from idle(counts, trees)
    yield from other_releases(trees)
    for label, found in sorted(_by_label(trees).items()):
        each = other_code(label, found), lacking(label, found), crashing(label, [target for _, target in found])
        yield from (one for one in each if one is not None)


def _by_label(trees: Sequence[Tree]) -> dict[str, list[tuple[Tree, Target]]]:
    found = defaultdict[str, list[tuple[Tree, Target]]](list)
    for tree in trees:
        for target in tree.targets:
            found[target.label].append((tree, target))
    return found


def each(rule: str, found: Iterable[Finding | None]) -> Iterator[Finding]:
    """What a rule says of queues or hosts; that all is well if it says nothing."""
    some = [one for one in found if one is not None]
    yield from some or (Finding(rule),)


def idle(counts: Mapping[str, Counts], trees: Sequence[Tree]) -> Iterator[Finding]:
    """F02: workers have had nothing since they started, and a queue of nearly the same name has tasks and no workers."""
    served = {queue for tree in trees for queue in tree.workers.values()}
    waiting = [name for name, one in counts.items() if one.ready and name not in served]
    for queue in sorted(served):
        one = counts.get(queue, Counts())
        mine = [tree for tree in trees if queue in tree.workers.values()]
        if one.ready or one.delayed or one.leased or one.dead or any(tree.ended.get(queue) for tree in mine):
            continue
        for other in get_close_matches(queue, waiting, 1):
            number = sum(tree.number(queue) for tree in mine)
            since = min((one.since for tree in mine for one in tree.targets if one.queue == queue), default=time.time())
            text = (
                f'{many(number, "worker")} of "{shown_name(queue)}" had nothing in {age(max(0.0, time.time() - since))}, and '
                f'"{shown_name(other)}" has {many(counts[other].ready, "ready task")} and no worker: is it the same name?'
            )
            yield Finding("F02", "warn", text, "name the queue alike where tasks are pushed and where they run")


def other_code(label: str, found: Sequence[tuple[Tree, Target]]) -> Finding | None:
    """F08: workers of a target run different code."""
    states = {target.code: target.since for _, target in sorted(found, key=lambda one: -one[1].since)}
    if len(states) < 2:
        return None
    newest = max(found, key=lambda one: one[1].since)
    old = [tree.name for tree, target in found if target.code != newest[1].code]
    since = age(max(0.0, time.time() - newest[1].since))
    text = (
        f"{_names(old)} {_run(old)} other code of {label} than {newest[0].name}, which runs its own since {since}"
        if newest[0].name not in old
        else f"workers of {newest[0].name} run other code of {label} than those that have started since {since}"
    )
    return Finding("F08", "warn", text, "restart what is older, unless a deploy is under way")


def other_releases(trees: Sequence[Tree]) -> Iterator[Finding]:
    """F09: hosts have other releases of regiment than this one."""
    found = defaultdict[str, list[str]](list)
    for tree in trees:
        if tree.regiment not in ("", __version__):
            found[tree.regiment].append(tree.name)
    for release, names in sorted(found.items()):
        text = f"regiment {__version__} is here, and {release} on {_names(names)}"
        yield Finding("F09", "warn", text, "install the same release everywhere; the upgrade notes say in which order")


def lacking(label: str, found: Sequence[tuple[Tree, Target]]) -> Finding | None:
    """F09: of the hosts that serve a target, some lack plugins that others have."""
    trees = [tree for tree, _ in found if tree.plugins]
    everything = frozenset[str]().union(*(tree.plugins for tree in trees))
    lack = {tree.name: sorted(everything - tree.plugins) for tree in trees if everything - tree.plugins}
    if not lack:
        return None
    words = "; ".join(f"{name} lacks {', '.join(plugins)}" for name, plugins in sorted(lack.items()))
    text = f"not all that serve {label} have the same plugins: {words}"
    return Finding("F09", "warn", text, "install the same there; regiment plugins lists them")


def unreadable(store: Connector, counts: Mapping[str, Counts], trees: Sequence[Tree]) -> Iterator[Finding]:
    """F10: messages of a queue are written with a serializer that one of its workers lacks."""
    for name, one in counts.items():
        serving = [(tree, target) for tree in trees for target in tree.targets if target.queue == name]
        if not serving or not (one.ready or one.delayed):
            continue
        for serializer, number in serializers(store, name).items():
            without = sorted(
                {tree.name for tree, target in serving if serializer not in (target.reads or {serializer})}
            )
            if without:
                text = f'{many(number, "task")} of "{shown_name(name)}" {"is" if number == 1 else "are"} written with {serializer!r}, which {_names(without)} cannot read'
                yield Finding(
                    "F10", "fail", text, "install it there, or list it in accept=, and start these workers anew"
                )


def serializers(store: Connector, name: str) -> Counter[str]:
    """Serializer -> how many of the first tasks that wait are written with it."""
    found = Counter[str]()
    for state in ("ready", "delayed"):
        for one in store.peek(name, state, LOOKED_AT):
            try:
                found[read_head(one.payload).serializer] += 1
            except DecodeError:
                continue
    return found


def crashing(label: str, found: Sequence[Target]) -> Finding | None:
    """F11: workers of a target ended in the last hour as nobody wants."""
    ends = sum((Counter(target.ends) for target in {target.since: target for target in found}.values()), Counter[str]())
    crashes, memory = sum(ends[kind] for kind in CRASHES), ends["memory"] + ends["oom"]
    if not crashes and memory < MANY_FOR_MEMORY:
        return None
    text = f"{label}: {many(crashes + ends['memory'], 'worker')} crashed in the last hour, {memory:,} for memory"
    return Finding(
        "F11", "warn", text, "regiment workers says how the last one ended; regiment dead list --group, what ran"
    )


def gone(store: Connector, name: str, trees: Sequence[Tree]) -> Iterator[Finding]:
    """F13: a host, or a tree, has tasks on lease and is not there any more."""
    if STEER not in extras(store):
        return
    here, lost = os.uname().nodename[:20], Counter[str]()
    known = {(tree.host[:20], pid) for tree in trees for pid in tree.workers}
    for one in cast("Steered", store).look(name, "leased", LOOKED_AT).tasks:
        place = place_of(one.consumer or "")
        if place is None or place in known:
            continue
        if not lives(place[1]) if place[0] == here else (one.since or 0.0) > YOUNG:
            lost[place[0]] += 1
    for host, number in sorted(lost.items()):
        text = f'workers of "{shown_name(name)}" on {host} are gone, with {many(number, "task")} on lease'
        yield Finding(
            "F13",
            "warn",
            text,
            "nothing to do: they are given back, at the latest when their lease (30 s by default) is over",
        )


def _names(names: Iterable[str]) -> str:
    return ", ".join(sorted(set(names)))


def _run(names: Iterable[str]) -> str:
    return "runs" if len(set(names)) == 1 else "run"
