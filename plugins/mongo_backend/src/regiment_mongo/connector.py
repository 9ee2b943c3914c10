"""The connector "mongo": one cluster, or several that share the work."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, TypeVar
from zlib import crc32

import pymongo

from regiment.contracts import (
    EFFECTS,
    FLOW,
    HISTORY,
    LEDGER,
    STEER,
    Capabilities,
    Effect,
    Letter,
    Peeked,
    Role,
    Secret,
    Settlement,
    Span,
    Taken,
    Terms,
)
from regiment.errors import ConfigError, StoreUnavailable
from regiment_mongo.address import addresses
from regiment_mongo.base import MAX_PAYLOAD
from regiment_mongo.entering import EnteringVerbs
from regiment_mongo.errors import LayoutGone, OtherKind, translated
from regiment_mongo.flowing import FlowingVerbs
from regiment_mongo.history import HistoryVerbs
from regiment_mongo.lease import NOTHING
from regiment_mongo.node import Node
from regiment_mongo.several import Together
from regiment_mongo.wake import PATIENCE, sleep

T = TypeVar("T")

CONCERNS = ("majority", "journal", "acknowledged")


class MongoConnector(FlowingVerbs, HistoryVerbs, EnteringVerbs):
    """Tasks in MongoDB.

    `url`: `mongodb://` or `mongodb+srv://` with any option of the driver; the database is its path, or `database`, or
    "regiment". `nodes`: several independent clusters instead, URLs or mappings (host, port, username, password, database,
    replica_set, tls, auth_source, options). A consumer works for all of them, and one that is down delays only its own
    tasks. `spread`: "push" sends each push to one of them in turn, "queue" all of a queue to the same one, which keeps
    the order of its tasks. `prefix`: first part of the collections' names. `write_concern`: what a push waits
    for: "majority" (with journal), "journal" (of the primary), "acknowledged" (its memory). `timeout`: seconds that a
    verb may take, and a bulk push a second more for every 10 MB.
    """

    capabilities: ClassVar[Capabilities] = Capabilities(
        shared=True, durable=True, max_payload=MAX_PAYLOAD, extras=frozenset({EFFECTS, FLOW, HISTORY, LEDGER, STEER})
    )

    def __init__(
        self,
        url: Annotated[str, Secret] | None = None,
        *,
        nodes: Annotated[Sequence[str | Mapping[str, Any]], Secret] | None = None,
        database: str | None = None,
        prefix: str = "regiment",
        write_concern: str = "majority",
        spread: str = "push",
        timeout: float = 2.0,
    ) -> None:
        given = {"url": url, "nodes": nodes, "database": database, "prefix": prefix}
        problems = self.check({**given, "write_concern": write_concern, "spread": spread, "timeout": timeout})
        if problems:
            raise ConfigError(problems)
        self._timeout, self._spread = timeout, spread
        self._nodes = [Node(a, prefix, write_concern, timeout) for a in addresses(url, nodes, database)]
        self._together = Together(self._nodes, self._ask)
        self._half = {}
        if len(self._nodes) > 1:
            for node in self._nodes:
                node.home = self._home

    @staticmethod
    def check(options: Mapping[str, Any]) -> list[str]:
        """What is wrong with these options, one sentence each."""
        found: list[str] = []
        try:
            addresses(options.get("url"), options.get("nodes"), options.get("database"))
        except ConfigError as error:
            found += error.problems
        concern = options.get("write_concern", "majority")
        if concern not in CONCERNS:
            found.append(f"mongo: write_concern is {concern!r}; expected {', '.join(map(repr, CONCERNS))}")
        spread = options.get("spread", "push")
        if spread not in ("push", "queue"):
            found.append(f"mongo: spread is {spread!r}; expected 'push' or 'queue'")
        prefix = options.get("prefix", "regiment")
        if not isinstance(prefix, str) or not prefix or "$" in prefix or prefix.startswith("system"):
            found.append(f"mongo: prefix is {prefix!r}; expected a name for collections, without $")
        timeout = options.get("timeout", 2.0)
        if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not 0 < timeout < 3600:
            found.append(f"mongo: timeout is {timeout!r}; expected seconds, more than 0")
        return found

    # Life

    def open(self, role: Role) -> None:
        self._role = role
        if len(self._nodes) == 1:
            self._nodes[0].open(role)
        else:
            self._together.open(role)

    def close(self) -> None:
        for node in self._nodes:
            node.close()

    def describe(self) -> str:
        return ", ".join(node.shown for node in self._nodes)

    def nodes(self) -> Sequence[Node]:
        """Each cluster that it reaches; for `regiment doctor`."""
        return self._nodes

    def warnings(self) -> list[str]:
        """What this store cannot promise, one sentence each; for `check --connect`."""
        return [warning for node in self._nodes for warning in node.warnings()]

    def _ask(self, node: Node, verb: Callable[..., T], *args: Any, seconds: float = 0.0, **options: Any) -> T:
        """Call one verb of one node, within the timeout, with its errors in regiment's words."""
        try:
            with (
                translated(node.shown, maybe_pushed=bool(options.get("token")), worked=True),
                pymongo.timeout(self._timeout + seconds),
            ):
                node.client  # noqa: B018  (refuses a closed or inherited one)
                return verb(*args, **options)
        except StoreUnavailable as error:
            self._mend(node, error)
            raise

    def _mend(self, node: Node, error: StoreUnavailable) -> None:
        """Do what a repeat needs, where waiting alone would not help."""
        if isinstance(error, LayoutGone):
            if self._role == "look":
                return
            with translated(node.shown, worked=True):
                node.lay_out()
        else:
            node.renew_client(changed=isinstance(error, OtherKind))

    # Producers

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
        seconds = sum(map(len, payloads)) / 10_000_000

        def send(node: Node) -> Sequence[int]:
            return self._ask(
                node,
                node.push,
                queue,
                payloads,
                priority=priority,
                delay=delay,
                at=at,
                token=token,
                ids=ids,
                id_window=id_window,
                token_window=token_window,
                seconds=seconds,
            )

        if len(self._nodes) == 1:
            return send(self._nodes[0])
        if ids is not None or self._spread == "queue":
            # Ids deduplicate where they are kept, and order holds there, so a queue has one home for both.
            return send(self._nodes[crc32(queue.encode()) % len(self._nodes)])
        return self._together.push(token, send)

    # Workers and keepers

    def join(self, queue: str, consumer: str, terms: Terms) -> None:
        if len(self._nodes) == 1:
            self._ask(self._nodes[0], self._nodes[0].join, queue, consumer, terms)
        else:
            self._together.join(queue, consumer, terms)

    def renew(self, consumers: Sequence[tuple[str, str]], seconds: float) -> Sequence[tuple[str, str]]:
        if len(self._nodes) == 1:
            return self._ask(self._nodes[0], self._nodes[0].renew, consumers, seconds)
        return self._together.renew(consumers, seconds)

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
        effects: Mapping[int, Sequence[Effect]] = NOTHING,
    ) -> Taken:
        args = (queue, consumer, turn, base, settlements, limit, max_bytes, holds_nothing)
        if len(self._nodes) == 1:
            return self._ask(self._nodes[0], self._nodes[0].exchange, *args, effects=effects)
        return self._together.exchange(*args, effects)

    def release(
        self,
        queue: str,
        consumer: str,
        done: Sequence[Span],
        suspects: Mapping[int, bytes],
        *,
        only: Span | None = None,
        close: bool = False,
        effects: Mapping[int, Sequence[Effect]] = NOTHING,
    ) -> None:
        # On every node: one that cannot be reached makes the caller repeat, and a repeat is harmless to the others.
        self._each(lambda node: node.release(queue, consumer, done, suspects, only=only, close=close, effects=effects))

    def wait(self, consumers: Sequence[tuple[str, str]], seconds: float, wake_fd: int | None = None) -> Sequence[str]:
        queues = list(dict.fromkeys(queue for queue, _ in consumers))
        end = time.monotonic() + seconds
        while True:
            called = {q for q, consumer in consumers if any(node.is_called(q, consumer) for node in self._awake())}
            ready = [q for q in queues if q in called or any(node.woken(q) or node.is_due(q) for node in self._awake())]
            now = time.monotonic()
            if ready or now >= end:
                return ready
            due = [at for q in queues for node in self._nodes if (at := node.due(q)) is not None]
            due += [at for one in consumers for node in self._nodes if (at := node.opens(*one)) is not None]
            listeners = [node.listener() for node in self._awake()]
            descriptors = [listener.event_fd for listener in listeners]
            # Not asleep when one of them should have been heard of.
            due += [listener.heard + PATIENCE + 0.01 for listener in listeners]
            if sleep(descriptors, min([end, *due]) - now, wake_fd):
                return [q for q in queues if any(node.woken(q) for node in self._awake())]

    def _awake(self) -> list[Node]:
        return [node for node in self._nodes if node.is_open]

    # People

    def _each(self, verb: Callable[[Node], T]) -> list[T]:
        """Ask every node; the ones that can answer do so before one that cannot makes this fail."""
        answers: list[T] = []
        failure: StoreUnavailable | None = None
        for node in self._nodes:
            try:
                answers.append(self._ask(node, verb, node))
            except StoreUnavailable as error:
                failure = error
        if failure is not None:
            raise failure
        return answers

    def queues(self) -> Sequence[str]:
        return sorted({name for names in self._each(lambda node: node.queues()) for name in names})

    def peek(self, queue: str, state: Literal["ready", "delayed", "leased"], limit: int = 100) -> Sequence[Peeked]:
        found = [task for tasks in self._each(lambda node: node.peek(queue, state, limit)) for task in tasks]
        if len(self._nodes) > 1:
            found.sort(key=lambda task: task.due if state == "delayed" else task.priority)
        return found[:limit]

    def purge(self, queue: str) -> int:
        return sum(self._each(lambda node: node.purge(queue)))

    def dead(self, queue: str, limit: int = 100, *, after: str | None = None) -> Sequence[Letter]:
        if len(self._nodes) > 1:
            return self._together.dead(queue, limit, after)
        return self._ask(self._nodes[0], self._nodes[0].dead, queue, limit, after=after)

    def reasons(self, queue: str, limit: int = 100, *, after: str | None = None) -> Sequence[Letter]:
        if len(self._nodes) > 1:
            return self._together.dead(queue, limit, after, whole=False)
        node = self._nodes[0]
        return self._ask(node, node.dead, queue, limit, after=after, whole=False)

    def letters(self, queue: str, id: str) -> Sequence[Letter]:
        found = [letter for letters in self._each(lambda node: node.letters(queue, id)) for letter in letters]
        return sorted(found, key=lambda letter: -letter.at)

    def revive(self, queue: str, letters: Mapping[str, bytes | None]) -> int:
        return sum(self._each(lambda node: node.revive(queue, letters)))

    def drop(self, queue: str, ids: Sequence[str] | None = None) -> int:
        return sum(self._each(lambda node: node.drop(queue, ids)))

    # Values, locks and presence live on the first node: one name, one place.

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        self._ask(self._nodes[0], self._nodes[0].set, key, value, ttl)

    def get(self, key: str) -> bytes | None:
        return self._ask(self._nodes[0], self._nodes[0].get, key)

    def delete(self, key: str) -> bool:
        return self._ask(self._nodes[0], self._nodes[0].delete, key)

    def lock_take(self, name: str, owner: str, ttl: float) -> bool:
        return self._ask(self._nodes[0], self._nodes[0].lock_take, name, owner, ttl)

    def lock_free(self, name: str, owner: str) -> bool:
        return self._ask(self._nodes[0], self._nodes[0].lock_free, name, owner)

    def lock_look(self, name: str) -> tuple[str, float] | None:
        return self._ask(self._nodes[0], self._nodes[0].lock_look, name)

    def lock_wait(self, name: str, seconds: float) -> None:
        listener = self._nodes[0].listener()
        topic = f"l:{name}"
        seen = listener.count(topic)
        end = time.monotonic() + seconds
        while listener.count(topic) == seen:
            held = self.lock_look(name)
            left = end - time.monotonic()
            if held is None or left <= 0:
                return
            sleep([listener.event_fd], min(left, held[1]), None)

    def announce(self, key: str, value: bytes, ttl: float) -> None:
        self._ask(self._nodes[0], self._nodes[0].announce, key, value, ttl)

    def presence(self) -> Mapping[str, bytes]:
        return self._ask(self._nodes[0], self._nodes[0].presence)
