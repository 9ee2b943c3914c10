"""Consumers that wait at a Redis as workers do, each on a connection of its own, all in one process."""

from __future__ import annotations

import resource
import select
import socket
import time
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from benchmark.growth.meter import Consumer

QUIET = 0.05
"""Seconds without a wake-up after which all that were told have looked."""


class Crowd:
    """`consumers` of one queue: each looks in vain, then sleeps in a blocking pop of the queue's marks, and looks again when it gets one."""

    def __init__(self, consumers: list[Consumer]) -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self._poll = select.epoll()
        self._sockets: dict[int, tuple[socket.socket, Consumer]] = {}
        for one in consumers:
            where = urlsplit(one.meter.url)
            sock = socket.create_connection((where.hostname or "127.0.0.1", where.port or 6379))
            self._sockets[sock.fileno()] = sock, one
            self._poll.register(sock, select.EPOLLIN)
            self._sleep(sock, one)
        self.settle()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._poll.close()
        for sock, _ in self._sockets.values():
            sock.close()
        time.sleep(QUIET)

    def settle(self) -> int:
        """Let those look who are told, until nobody is; how many looks that were."""
        looks = 0
        while ready := self._poll.poll(QUIET):
            for number, _ in ready:
                sock, one = self._sockets[number]
                if not sock.recv(4096):
                    raise ConnectionError("redis-server has closed the connection of a consumer that waits")
                self._sleep(sock, one)
                looks += 1
        return looks

    def _sleep(self, sock: socket.socket, one: Consumer) -> None:
        one.exchange()
        key = f"regiment:{{{one.queue}}}:wake".encode()
        sock.sendall(b"*3\r\n$5\r\nBLPOP\r\n$%d\r\n%b\r\n$3\r\n600\r\n" % (len(key), key))
