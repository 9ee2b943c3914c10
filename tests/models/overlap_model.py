"""Trees of several releases that write one limit at a store, which has no step that writes a rule if a record is as it was.

Each tree says its limit in the record (by its version), writes what follows from the record, and looks at the record again. The steps of
one tree meet those of the others; one may stand still for so long that its lock is over, and one may be killed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

MORE = "more may run than a living tree that runs tasks allows"
STAYS = "what is at the store is not what counts, and nobody is on the way"
FREE = 9
"""No limit."""


class Tree(NamedTuple):
    """`at`: away, read, say, write, check, runs, dead; `saw`: the version that it read; `means`: the limit that it is to write."""

    at: str = "away"
    saw: int = 0
    means: int = 0


class State(NamedTuple):
    trees: tuple[Tree, ...]
    said: frozenset[int] = frozenset()
    """Trees that the record names."""
    version: int = 0
    rule: int = FREE
    lock: int = -1
    kills: int = 1
    stalls: int = 1


Steps = Iterator[tuple[str, State]]


class Model:
    """`limits`: of each tree, older ones first. `tighter`: the least counts (the rule), else the newest one's. `locks`: one writes at a
    time, unless its lock is over. `checks`: who has written reads the record again, and begins anew if that has changed. `looks`: a
    tree at work looks every 10 s, forgets who is dead, and puts right what is not as it should be.
    """

    def __init__(
        self,
        limits: tuple[int, ...],
        *,
        tighter: bool = True,
        locks: bool = True,
        checks: bool = True,
        looks: bool = True,
        **budget: int,
    ) -> None:
        self.limits, self._tighter, self._locks, self._checks, self._looks = limits, tighter, locks, checks, looks
        self.first = State((Tree(),) * len(limits))._replace(**budget)

    def counts(self, said: frozenset[int]) -> int:
        """What follows from a record."""
        found = [self.limits[n] for n in sorted(said)]
        return FREE if not found else min(found) if self._tighter else found[-1]

    def steps(self, s: State) -> Steps:
        """What can happen next."""
        for n, tree in enumerate(s.trees):
            if tree.at in ("read", "say", "write", "check"):
                if s.kills:
                    free = s.lock if s.lock != n else -1
                    yield f"{n} is killed", self._to(s._replace(kills=s.kills - 1, lock=free), n, Tree("dead"))
                if s.stalls and s.lock == n:
                    yield f"the lock of {n} is over", s._replace(stalls=s.stalls - 1, lock=-1)
            yield from self._own(s, n, tree)

    def _own(self, s: State, n: int, tree: Tree) -> Steps:
        dead = frozenset(m for m in s.said if s.trees[m].at == "dead")
        amiss = self._looks and (dead or s.rule != self.counts(s.said))
        if tree.at == "away" or (tree.at == "runs" and amiss):
            if self._locks and s.lock < 0:
                yield f"{n} locks", self._to(s._replace(lock=n), n, tree._replace(at="read"))
            elif not self._locks:
                yield f"{n} begins", self._to(s, n, tree._replace(at="read"))
        elif tree.at == "read":
            said = (s.said - dead) | {n}
            after = Tree("say" if said != s.said else "write", s.version, self.counts(said))
            yield f"{n} reads", self._to(s, n, after)
        elif tree.at == "say":
            if s.version != tree.saw:
                yield f"{n} is late", self._to(s, n, tree._replace(at="read"))
            else:
                new = s._replace(said=(s.said - dead) | {n}, version=s.version + 1)
                yield f"{n} says", self._to(new, n, Tree("write", new.version, self.counts(new.said)))
        elif tree.at == "write":
            yield f"{n} writes {tree.means}", self._to(s._replace(rule=tree.means), n, tree._replace(at="check"))
        elif tree.at == "check":
            if self._checks and s.version != tree.saw:
                yield f"{n} begins anew", self._to(s, n, tree._replace(at="read"))
            else:
                free = -1 if s.lock == n else s.lock
                yield f"{n} runs", self._to(s._replace(lock=free), n, Tree("runs"))

    def _to(self, s: State, n: int, tree: Tree) -> State:
        return s._replace(trees=(*s.trees[:n], tree, *s.trees[n + 1 :]))

    def wrong(self, s: State) -> str:
        """What must not be seen: unless somebody stood still, nobody ever may lease more than a tree at work allows."""
        runs = [self.limits[n] for n, tree in enumerate(s.trees) if tree.at == "runs"]
        return MORE if s.stalls == self.first.stalls and runs and s.rule > min(runs) else ""

    def ended(self, s: State) -> str:
        """At rest the store has what follows from who lives."""
        alive = frozenset(n for n, tree in enumerate(s.trees) if tree.at == "runs")
        return STAYS if alive and s.rule != self.counts(alive) else ""
