"""Pushes within the caller's own transaction: `enqueue` writes in his session, and commits nothing.

The session is one of his own client, to the replica set in which the queue lives. Who waits for a task looks at the latest after
its `recheck`; `wake_waiting`, after the commit, tells it at once.
"""

from __future__ import annotations

import os
from typing import Any
from weakref import WeakKeyDictionary

from pymongo import MongoClient
from pymongo.client_session import ClientSession

from regiment.contracts import Send
from regiment.errors import ArgumentsError, StoreError
from regiment_mongo.connector import MongoConnector
from regiment_mongo.errors import translated

_members: WeakKeyDictionary[MongoClient[Any], frozenset[str]] = WeakKeyDictionary()
"""The hosts of the replica set that a client reaches, as it calls them itself."""
_told: WeakKeyDictionary[ClientSession, list[tuple[Any, str]]] = WeakKeyDictionary()
"""Broker and queue of what was enqueued in a session, and nobody was told of yet."""


def enqueue(session: ClientSession, task: Any, /, *args: Any, **kwargs: Any) -> Any:
    """Push one task if, and only if, the transaction of this session is committed; the answer of `push`, with the id, comes
    at once.

    `task` is a task function, one with `.options(delay=60)`, or a worker class, whose queue lives in the replica set of this
    session. Nothing is committed here. `ArgumentsError` for arguments that do not fit the task, for a session without a
    transaction, and for a push that needs more than its task (results, limits); `StoreError` for a stand-alone server. What the
    driver raises in the transaction goes through as it is: `with_transaction` knows what to repeat.
    """
    made: Any = task if hasattr(task, "unsent") else getattr(task, "options", dict)()
    if not hasattr(made, "unsent"):
        raise ArgumentsError(f"enqueue got {task!r:.80}; expected a task function, or one with .options(…)")
    if not isinstance(session, ClientSession):
        raise ArgumentsError(f"enqueue got {session!r:.80}; expected a ClientSession of a MongoClient")
    pushed, broker, effects = made.unsent(made.parameters.bind(args, kwargs))
    with broker.connector() as connector:
        if not connector.capabilities.shared:  # the memory of this process, or a capture: for tests
            existed = _at_once(connector, *effects)
        else:
            existed = _within(session, connector, *effects)
    _told.setdefault(session, []).append((broker, pushed.queue))
    return pushed._replace(existed=True) if existed and hasattr(pushed, "_replace") else pushed


def _at_once(connector: Any, send: Send, *more: Any) -> Any:
    return connector.apply(send.queue, (send, *more), token=os.urandom(12).hex()).left_out


def _within(session: ClientSession, connector: Any, send: Send, *more: Any) -> Any:
    otherwise = "push it after the commit, with its own push(…), or use the outbox of regiment_sqlalchemy"
    if not isinstance(connector, MongoConnector):
        raise ArgumentsError(
            f"the queue {send.queue!r} lives in {connector.describe()}, and this session writes to MongoDB; {otherwise}"
        )
    if more or send.tickets is not None:
        what = (
            "a pool, a lane or a unique key"
            if send.tickets is not None
            else f"a {type(more[0]).__name__} that a plugin adds"
        )
        raise ArgumentsError(f"this push has {what}, which a transaction of MongoDB cannot carry; {otherwise}")
    if not session.in_transaction:
        raise ArgumentsError(
            "this session is in no transaction; expected start_transaction() or with_transaction(…) before"
        )
    if len(connector.nodes()) > 1:
        raise ArgumentsError(f"{connector.describe()}: several clusters are in no transaction together; {otherwise}")
    node = connector.nodes()[0]
    with translated(node.shown):
        ours = _hosts(node.client)
    if not ours:
        raise StoreError(
            f"{node.shown} is no replica set, and only one has transactions; expected mongod with --replSet (a set of one is "
            "enough) and rs.initiate()"
        )
    theirs = _hosts(session.client)
    if not ours & theirs:
        raise ArgumentsError(
            f"the queue lives in {node.shown} ({', '.join(sorted(ours))}), and this session in another cluster ({', '.join(sorted(theirs))})"
        )
    return node.guest(session.client).push_within(node, send.queue, send, session, os.urandom(12).hex())


def _hosts(client: MongoClient[Any]) -> frozenset[str]:
    """The members of its replica set by the names that the set knows; none of what is none."""
    found = _members.get(client)
    if found is None:
        hello = client.admin.command("hello")
        found = frozenset(hello.get("hosts", ())) if "setName" in hello else frozenset[str]()
        _members[client] = found
    return found


def wake_waiting(session: ClientSession) -> None:
    """After the commit: tell those who wait for what was enqueued in this session. Whoever is told for nothing looks, and finds
    nothing.
    """
    if session.in_transaction:
        raise ArgumentsError("wake_waiting was called in the transaction; expected after its commit")
    for broker, queue in _told.pop(session, ()):
        with broker.connector() as connector:
            if isinstance(connector, MongoConnector):
                connector.nodes()[0].poke(queue)
