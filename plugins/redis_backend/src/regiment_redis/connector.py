"""The connector "redis": its options, and the choice between one Redis and several independent ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal

from regiment.contracts import Board, Capabilities, Counts, Letter, Peeked, Role, Secret, Settlement, Span, Taken, Terms
from regiment.contracts.effects import EFFECTS, Applied, Effect, Followed, Record, Tally, When
from regiment.contracts.flow import FLOW, Met, Rule, Spot, Standing, Ticket
from regiment.contracts.history import HISTORY, Past, Tallied
from regiment.contracts.ledger import LEDGER
from regiment.contracts.steer import STEER, Act, Glance
from regiment.errors import ConfigError, StoreError
from regiment_redis.address import Address, node, parse, unguarded
from regiment_redis.budgets import Budgets
from regiment_redis.effective import Effects
from regiment_redis.ledger import NO_ENTRIES
from regiment_redis.link import Link, link_to
from regiment_redis.shard import NONE, Shard
from regiment_redis.spread import Spread
from regiment_redis.steering import Change

LARGEST_PAYLOAD = 500 * 1024 * 1024
"""A value of Redis has at most 512 MiB, and a task there carries a few bytes more than its payload."""


class RedisConnector:
    """Tasks in Redis 6.2 or later.

    `url` is redis://, rediss://, unix://, redis+sentinel://host,host/service/db or redis+cluster://host,host. `nodes` are
    independent servers instead: URLs, or mappings with host, port and options; pushes are spread over them, workers drain
    them all; `spread`: "push" sends each push to one of them, "queue" all of a queue to the same one, which keeps its
    order. `prefix` begins every key. `timeout` and `connect_timeout` are seconds that an answer and a connection may
    take. `username` and `password` are for those addresses that name none.
    """

    capabilities: ClassVar[Capabilities] = Capabilities(
        max_payload=LARGEST_PAYLOAD, extras=frozenset({EFFECTS, FLOW, HISTORY, LEDGER, STEER})
    )

    def __init__(
        self,
        url: Annotated[str | None, Secret] = None,
        *,
        nodes: Annotated[Sequence[str | Mapping[str, object]] | None, Secret] = None,
        spread: str = "push",
        prefix: str = "regiment",
        timeout: float = 5.0,
        connect_timeout: float = 2.0,
        username: str | None = None,
        password: Annotated[str | None, Secret] = None,
    ) -> None:
        addresses = read_addresses(url, nodes, username, password)
        if not prefix or "{" in prefix or "}" in prefix:
            raise ConfigError(f"prefix is {prefix!r}; expected a few characters, without braces")
        if spread not in ("push", "queue"):
            raise ConfigError(f'spread is {spread!r}; expected "push" or "queue"')
        for name, value in (("timeout", timeout), ("connect_timeout", connect_timeout)):
            if not 0 < value < 3600:
                raise ConfigError(f"{name} is {value!r}; expected a positive number of seconds")
        shards = [Shard(link_to(a, timeout, connect_timeout), prefix) for a in addresses]
        self._addresses, self._roots = addresses, [shard.root for shard in shards]
        self._store: Shard | Spread = shards[0] if len(shards) == 1 else Spread(shards, spread == "queue")
        # Every task passes here: one call of Python's less.
        self.exchange = self._store.exchange  # type: ignore[method-assign]

    @staticmethod
    def check(options: Mapping[str, object]) -> list[str]:
        """What is wrong with these options, without connecting."""
        try:
            RedisConnector(**options)  # type: ignore[arg-type]
        except ConfigError as error:
            return error.problems
        return []

    def open(self, role: Role) -> None:
        self._store.open(role)

    def close(self) -> None:
        self._store.close()

    def describe(self) -> str:
        return ", ".join(str(address) for address in self._addresses)

    def roots(self) -> Sequence[Link]:
        """The link to each node, or to the cluster; for `regiment doctor`."""
        return self._roots

    def warnings(self) -> list[str]:
        """What works and does not keep every promise: eviction, no persistence, a replica. For `check --connect`."""
        found = [text for address in self._addresses for text in unguarded(address)]
        return found + self._store.warnings()

    def push(
        self,
        queue: str,
        payloads: Sequence[bytes],
        *,
        priority: int,
        delay: float = 0.0,
        at: float | None = None,
        token: str,
        ids: Sequence[str] | None = None,
        id_window: float = 3600.0,
        token_window: float = 60.0,
    ) -> Sequence[int]:
        return self._store.push(
            queue,
            payloads,
            priority=priority,
            delay=delay,
            at=at,
            token=token,
            ids=ids,
            id_window=id_window,
            token_window=token_window,
        )

    def extras(self) -> frozenset[str]:
        """What this one keeps: a budget of a queue that is spread over nodes would be a lie."""
        return self.capabilities.extras if isinstance(self._store, Shard) else self.capabilities.extras - {FLOW}

    @property
    def _budgets(self) -> Budgets:
        if isinstance(self._store, Shard):
            return self._store.budgets
        raise StoreError(
            "several nodes keep no lanes, rules and gates (flow); expected one server, sentinels or a cluster"
        )

    def admit(
        self,
        queue: str,
        payloads: Sequence[bytes],
        tickets: Sequence[Ticket],
        *,
        priority: int,
        delay: float = 0.0,
        at: float | None = None,
        token: str,
        ids: Sequence[str] | None = None,
        id_window: float = 3600.0,
        token_window: float = 60.0,
    ) -> Sequence[Met]:
        windows = (id_window, token_window)
        return self._budgets.admit(queue, payloads, tickets, priority, delay, at, token, ids, windows)

    def rule(self, queue: str, spot: Spot, rule: Rule | None, *, operator: bool = False, by: str = "") -> None:
        self._budgets.rule(queue, spot, rule, operator, by)

    def gate(self, queue: str, spot: Spot, seconds: float | None) -> None:
        self._budgets.gate(queue, spot, seconds)

    def flow(self, queue: str, spots: Sequence[Spot]) -> Sequence[Standing]:
        return self._budgets.flow(queue, spots)

    def standings(
        self, queue: str, limit: int = 100, *, pool: str | None = None, after: Spot | None = None
    ) -> Sequence[Standing]:
        return self._budgets.standings(queue, limit, pool, after)

    def recount(self, queue: str) -> Sequence[tuple[Spot, int, int]]:
        return self._budgets.recount(queue)

    def ticket(self, queue: str, payload: bytes) -> Ticket | None:
        return self._budgets.ticket(queue, payload)

    def join(self, queue: str, consumer: str, terms: Terms) -> None:
        self._store.join(queue, consumer, terms)

    def renew(self, consumers: Sequence[tuple[str, str]], seconds: float) -> Sequence[tuple[str, str]]:
        return self._store.renew(consumers, seconds)

    def exchange(
        self,
        queue: str,
        consumer: str,
        turn: int,
        base: int,
        settlements: Sequence[Settlement],
        limit: int,
        max_bytes: int,
        holds_nothing: bool = False,
        *,
        effects: Effects = NONE,
    ) -> Taken:
        numbers = (turn, base, settlements, limit, max_bytes, holds_nothing)
        return self._store.exchange(queue, consumer, *numbers, effects=effects)

    def release(
        self,
        queue: str,
        consumer: str,
        done: Sequence[Span],
        suspects: Mapping[int, bytes],
        *,
        only: Span | None = None,
        close: bool = False,
        effects: Effects = NONE,
    ) -> None:
        self._store.release(queue, consumer, done, suspects, only=only, close=close, effects=effects)

    def apply(
        self,
        queue: str,
        effects: Sequence[Effect],
        *,
        token: str,
        token_window: float = 60.0,
        when: Sequence[When] = (),
    ) -> Applied:
        return self._store.apply(queue, effects, token, token_window, when)

    def records(self, queue: str, keys: Sequence[str]) -> Sequence[Record | None]:
        return self._store.records(queue, keys)

    def listed(self, queue: str, limit: int = 100, *, after: str | None = None) -> Sequence[str]:
        return self._store.listed(queue, limit, after)

    def tallies(self, queue: str, joins: Sequence[str]) -> Sequence[Tally | None]:
        return self._store.tallies(queue, joins)

    def follow(self, keys: Mapping[Followed, int], seconds: float = 60.0) -> Mapping[Followed, Record]:
        return self._store.follow(keys, seconds)

    def heard(self, seconds: float, wake_fd: int | None = None) -> Mapping[Followed, Record | None] | None:
        return self._store.ear.heard(seconds, wake_fd)

    def wait(self, consumers: Sequence[tuple[str, str]], seconds: float, wake_fd: int | None = None) -> Sequence[str]:
        return self._store.wait(consumers, seconds, wake_fd)

    def counts(self, queue: str) -> Counts:
        return self._store.people.counts(queue)

    def queues(self) -> Sequence[str]:
        return self._store.people.queues()

    def peek(self, queue: str, state: Literal["ready", "delayed", "leased"], limit: int = 100) -> Sequence[Peeked]:
        return self._store.people.peek(queue, state, limit)

    def purge(self, queue: str) -> int:
        return self._store.people.purge(queue)

    def dead(self, queue: str, limit: int = 100, *, after: str | None = None) -> Sequence[Letter]:
        return self._store.people.dead(queue, limit, after)

    def reasons(self, queue: str, limit: int = 100, *, after: str | None = None) -> Sequence[Letter]:
        return self._store.people.reasons(queue, limit, after)

    def letters(self, queue: str, id: str) -> Sequence[Letter]:
        return self._store.people.letters(queue, id)

    def revive(self, queue: str, letters: Mapping[str, bytes | None]) -> int:
        return self._store.people.revive(queue, letters)

    def drop(self, queue: str, ids: Sequence[str] | None = None) -> int:
        return self._store.people.drop(queue, ids)

    def board(self, queue: str) -> Board:
        return self._store.people.board(queue)

    def post(
        self,
        queue: str,
        *,
        paused: bool | None = None,
        cancel: Iterable[str] = (),
        clear: Iterable[str] = (),
        orders: Mapping[str, str | None] = MappingProxyType({}),
    ) -> int:
        return self._store.people.post(queue, paused, cancel, clear, orders)

    def look(
        self,
        queue: str,
        state: Literal["ready", "delayed", "leased"],
        limit: int = 100,
        *,
        after: str | None = None,
        holding: bytes = b"",
    ) -> Glance:
        return self._store.hand.look(queue, state, limit, after, holding)

    def steer(
        self,
        queue: str,
        places: Sequence[str],
        *,
        drop: bool = False,
        priority: int | None = None,
        delay: float | None = None,
    ) -> Sequence[str]:
        return self._store.hand.steer(queue, places, Change(drop, priority, delay).checked())

    def counts_many(self, queues: Sequence[str]) -> Sequence[Counts]:
        return self._store.people.counts_many(queues)

    def act(self, queue: str, entry: bytes, *, token: str) -> None:
        self._store.people.act(queue, entry, token)

    def acts(self, queue: str, limit: int = 100, *, after: str | None = None) -> Sequence[Act]:
        return self._store.people.acts(queue, limit, after)

    # the extra `ledger`

    def enter(
        self, queue: str, consumer: str, receipt: int, entries: Mapping[str, bytes] = NO_ENTRIES
    ) -> Mapping[str, bytes] | None:
        return self._store.ledger.enter(queue, consumer, receipt, entries)

    # the extra `history`

    def record(self, queue: str, source: str, number: int, ended: Sequence[Tallied]) -> bool:
        return self._store.people.history.record(queue, source, number, ended)

    def history(self, queues: Sequence[str], step: Literal["minute", "hour", "ever"], seconds: float) -> Sequence[Past]:
        return self._store.people.history.history(queues, step, seconds)

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        self._store.names.set(key, value, ttl)

    def get(self, key: str) -> bytes | None:
        return self._store.names.get(key)

    def delete(self, key: str) -> bool:
        return self._store.names.delete(key)

    def lock_take(self, name: str, owner: str, ttl: float) -> bool:
        return self._store.names.lock_take(name, owner, ttl)

    def lock_free(self, name: str, owner: str) -> bool:
        return self._store.names.lock_free(name, owner)

    def lock_look(self, name: str) -> tuple[str, float] | None:
        return self._store.names.lock_look(name)

    def lock_wait(self, name: str, seconds: float) -> None:
        self._store.names.lock_wait(name, seconds)

    def announce(self, key: str, value: bytes, ttl: float) -> None:
        self._store.names.announce(key, value, ttl)

    def presence(self) -> Mapping[str, bytes]:
        return self._store.names.presence()


def read_addresses(
    url: str | None,
    nodes: Sequence[str | Mapping[str, object]] | None,
    username: str | None = None,
    password: str | None = None,
) -> list[Address]:
    """The addresses that the options name; `ConfigError` if they name none, or too much."""
    if url is not None and nodes is not None:
        raise ConfigError("the redis connector got url and nodes; expected one of them")
    if isinstance(nodes, str | Mapping):
        raise ConfigError("nodes of the redis connector is one node; expected a list of them")
    if nodes is not None and not isinstance(nodes, Sequence):
        raise ConfigError(
            f"nodes of the redis connector is a {type(nodes).__name__}; expected a list of URLs or mappings"
        )
    if nodes is not None and not nodes:
        raise ConfigError("nodes of the redis connector is empty; expected at least one")
    found = [node(n) for n in nodes] if nodes is not None else [parse(url or "redis://localhost:6379/0")]
    if nodes is not None and any(a.kind != "direct" for a in found):
        raise ConfigError("nodes of the redis connector are single servers; a sentinel set or a cluster is a url")
    if len(set(map(str, found))) < len(found):
        raise ConfigError("nodes of the redis connector names the same server twice")
    return [
        a._replace(
            username=a.username or username,
            password=a.password if a.password is not None else password,
        )
        for a in found
    ]
