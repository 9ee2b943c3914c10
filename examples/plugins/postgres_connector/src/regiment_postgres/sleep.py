"""Sleeping until there is something: LISTEN first, then a look, then the socket; so nothing falls between the two."""

from __future__ import annotations

import hashlib
import select
import time
from collections.abc import Sequence

import psycopg

from regiment_postgres.link import Link

LOOK = """
    SELECT u.q, coalesce(c.waiting AND c.state = 'living', false), c.told - clock()
    FROM unnest(%(queues)s::text[], %(names)s::text[]) AS u (q, me) LEFT JOIN consumer c ON c.queue = u.q AND c.name = u.me
"""
"""For each consumer: whether nothing has come since its last exchange, and when it has to look again."""


def channel(link: Link, kind: str, name: str) -> str:
    """The channel of a queue or a lock, as `channel()` in `steps.sql` makes it."""
    return "regiment_" + hashlib.md5(f"{link.schema}/{kind}/{name}".encode(), usedforsecurity=False).hexdigest()


def sleep(link: Link, consumers: Sequence[tuple[str, str]], seconds: float, wake_fd: int | None) -> Sequence[str]:
    """The queues that seem to have something; none if the time is over or `wake_fd` is readable."""
    end = time.monotonic() + seconds
    channels = {channel(link, "queue", queue): queue for queue, _ in consumers}
    listen(link, channels)
    rows = link.ask(LOOK, queues=[q for q, _ in consumers], names=[name for _, name in consumers])
    ready = [queue for queue, waits, due in rows if not waits or (due is not None and due <= 0)]
    if ready:
        return ready
    start = time.monotonic()
    dues = {queue: start + due for queue, _, due in rows if due is not None}
    heard = doze(link, channels, min([end, *dues.values()]), wake_fd)
    if heard:
        return [channels[name] for name in heard]
    now = time.monotonic()
    return [queue for queue, due in dues.items() if due <= now]


def sleep_for_lock(link: Link, name: str, seconds: float) -> None:
    """Until the lock may be free."""
    end = time.monotonic() + seconds
    its = channel(link, "lock", name)
    listen(link, [its])
    try:
        rows = link.ask("SELECT until - clock() FROM lock WHERE name = %(name)s AND until > clock()", name=name)
        for (left,) in rows:
            doze(link, [its], min(end, time.monotonic() + left), None)
    finally:
        link.unlisten(its)


def listen(link: Link, channels: Sequence[str] | dict[str, str]) -> None:
    """Hear these channels from now on; what was heard of them before is forgotten."""
    link.connection()
    for name in channels:
        if name not in link.listening:
            link.ask(f"LISTEN {name}")
            link.listening.add(name)
    link.heard.clear()


def doze(link: Link, channels: Sequence[str] | dict[str, str], end: float, wake_fd: int | None) -> list[str]:
    """Which of the channels was notified before `end`; none if it was the time or `wake_fd`."""
    connection = link.connection()
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    if wake_fd is not None:
        poll.register(wake_fd, select.POLLIN)
    while True:
        heard = [name for name in channels if name in link.heard]
        left = end - time.monotonic()
        if heard or left <= 0:
            return heard
        events = poll.poll(left * 1000 + 1)
        if any(fd == wake_fd for fd, _ in events):
            return []
        if events:
            try:
                connection.pgconn.consume_input()
                while (notice := connection.pgconn.notifies()) is not None:
                    link.heard.add(notice.relname.decode())
            except psycopg.Error as error:
                link.failed(error)
