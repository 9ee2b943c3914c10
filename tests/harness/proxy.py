"""A TCP proxy that misbehaves on command, to stand between a client and a real store.

Verbs: `pass_on`, `drop` (refuse and cut), `delay(seconds)`, `half_open` (bytes vanish in silence), `freeze` (the same, for
what is open now), `reset` (cut every connection with RST), `cut_after(n)` (cut after n more bytes of replies),
`cut_reply(when)` (the request passes, its reply is lost and the connection cut, once; `when` chooses the request by its
bytes), `garble(when)` (a reply begins with a byte that no reply begins with, once).
"""

from __future__ import annotations

import random
import select
import socket
import struct
import threading
import time
from collections.abc import Callable


class Proxy:
    """Listens on a free loopback port and forwards to `port`; a context manager."""

    def __init__(self, port: int) -> None:
        self.target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.cuts = 0
        """How often a reply or a stream was cut or garbled."""
        self.connections = 0
        self._lock = threading.Lock()
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._mode = "pass"
        self._delay = 0.0
        self._sometimes = (0.0, 0.0)
        self._frozen: set[socket.socket] = set()
        self._bytes_left: int | None = None
        self._when: Callable[[bytes], bool] | None = None
        self._garble_when: Callable[[bytes], bool] | None = None
        self._closed = False
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Verbs

    def pass_on(self) -> None:
        """Forward everything, whatever was set before."""
        self._mode, self._delay, self._bytes_left, self._when = "pass", 0.0, None, None
        self._sometimes, self._garble_when = (0.0, 0.0), None

    def drop(self) -> None:
        """Close what is open and every new connection at once."""
        self._mode = "drop"
        self._cut_all()

    def delay(self, seconds: float, chance: float = 0.0, more: float = 0.0) -> None:
        """Hold back every reply; with that chance for `more` seconds."""
        self._delay, self._sometimes = seconds, (chance, more)

    def half_open(self) -> None:
        """Swallow all bytes in both directions; connections stay open."""
        self._mode = "half_open"

    def freeze(self) -> None:
        """What is open now carries nothing any more and stays open, as after a firewall forgot it; new connections pass."""
        with self._lock:
            self._frozen |= {sock for pair in self._pairs for sock in pair}

    def reset(self) -> None:
        """Cut what is open; new connections pass."""
        self._cut_all()

    def cut_after(self, many: int) -> None:
        """Cut the connection that carries the reply byte after the next `many`; once."""
        self._bytes_left = many

    def cut_reply(self, when: Callable[[bytes], bool] = lambda request: True) -> None:
        """Lose the reply to the next request that `when` chooses, and cut its connection; once."""
        self._when = when

    def garble(self, when: Callable[[bytes], bool] = lambda request: True) -> None:
        """Put a byte that no reply begins with before the reply to the next request that `when` chooses; once."""
        self._garble_when = when

    def close(self) -> None:
        self._closed = True
        self._listener.close()
        self._cut_all()

    # Inside

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._mode == "drop":
                _cut(client)
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self.target), 5)
            except OSError:
                _cut(client)
                continue
            for sock in (client, server):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self.connections += 1
                self._pairs.add((client, server))
            threading.Thread(target=self._carry, args=(client, server), daemon=True).start()

    def _carry(self, client: socket.socket, server: socket.socket) -> None:
        doomed = garbled = False
        try:
            while True:
                for sock in select.select([client, server], [], [], 1.0)[0]:
                    data = sock.recv(65_536)
                    if not data:
                        return
                    if self._mode == "half_open" or sock in self._frozen:
                        continue
                    if sock is client:
                        if self._garble_when is not None and self._garble_when(data):
                            self._garble_when, garbled = None, True
                        if self._when is not None and self._when(data):
                            self._when, doomed = None, True
                        server.sendall(data)
                        continue
                    if doomed:
                        self.cuts += 1
                        return
                    if garbled:
                        self.cuts += 1
                        garbled, data = False, b"?" + data
                    if self._delay:
                        chance, more = self._sometimes
                        time.sleep(more if random.random() < chance else self._delay)
                    if self._bytes_left is not None:
                        if len(data) > self._bytes_left:
                            client.sendall(data[: self._bytes_left])
                            self._bytes_left = None
                            self.cuts += 1
                            return
                        self._bytes_left -= len(data)
                    client.sendall(data)
        except (OSError, ValueError):
            return
        finally:
            with self._lock:
                self._pairs.discard((client, server))
                self._frozen -= {client, server}
            _cut(client)
            _cut(server)

    def _cut_all(self) -> None:
        with self._lock:
            pairs = list(self._pairs)
        for pair in pairs:
            for sock in pair:
                try:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass


def _cut(sock: socket.socket) -> None:
    """Close with RST, as a crash or a firewall does."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    except OSError:
        pass
    sock.close()
