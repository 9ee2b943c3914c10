"""The limit on Redis: packed commands on one socket; for each batch one script that checks the fence, forgets what is done,
looks for due tasks and moves the next ones into a list that the consumer owns. At least once.
"""

from __future__ import annotations

import os
import socket
from typing import Any
from urllib.parse import urlsplit

import bare
import hiredis
import tasks

NEXT = b"""
if redis.call('ZSCORE', KEYS[1], ARGV[1]) == false then return 0 end
if ARGV[3] ~= '0' then redis.call('DEL', KEYS[2] .. ARGV[3]) end
local now = redis.call('TIME')
local due = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now[1], 'LIMIT', 0, 100)
local got = redis.call('LPOP', KEYS[4], ARGV[4])
if not got then return {due} end
redis.call('RPUSH', KEYS[2] .. ARGV[2], unpack(got))
return {due, got}
"""
KEYS = ("{b}:consumers", "{b}:held:", "{b}:due", "{b}:ready")


class Link:
    """One socket."""

    def __init__(self) -> None:
        port = urlsplit(tasks.STORE).port
        self.sock = socket.create_connection(("127.0.0.1", port or 6379))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reader = hiredis.Reader()

    def ask(self, *words: object) -> Any:
        """One command and its reply."""
        self.sock.sendall(hiredis.pack_command(words))  # type: ignore[arg-type]
        while (reply := self.reader.gets()) is False:
            self.reader.feed(self.sock.recv(65_536))
        if isinstance(reply, hiredis.ReplyError):
            raise reply
        return reply


_link: Link | None = None


def _pusher() -> Link:
    global _link
    _link = _link or Link()
    return _link


def push(task: str, numbers: range, body: str) -> None:
    ask = _pusher().ask
    for n in numbers:
        ask("RPUSH", KEYS[3], bare.record(task, n, body))


def push_many(task: str, numbers: range, body: str) -> None:
    _pusher().ask("RPUSH", KEYS[3], *(bare.record(task, n, body) for n in numbers))


def work() -> None:
    """Until it is killed."""
    link, me, base, before = Link(), str(os.getpid()), 1, "0"
    link.ask("ZADD", KEYS[0], 1, me)
    script, held = link.ask("SCRIPT", "LOAD", NEXT), f"{KEYS[1]}{me}:"
    keys = (KEYS[0], held, *KEYS[2:])
    while True:
        got = link.ask("EVALSHA", script, 4, *keys, me, base, before, bare.BATCH)
        before = str(base)
        for payload in got[1] if len(got) > 1 else ():
            bare.run_one(base, payload)
            base += 1
        if len(got) < 2:  # nothing there: the next one is leased by the wait itself
            payload = link.ask("BLMOVE", KEYS[3], held + before, "LEFT", "RIGHT", 0)
            bare.run_one(base, payload)
            base += 1


if __name__ == "__main__":
    work()
