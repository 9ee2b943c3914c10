"""What crosses from one process of a tree to the next: messages, and how signals are taken.

A message is a JSON object. The sockets between supervisor, keeper and workers keep the bounds of what is sent and take no
more than their buffer at once, so a message travels as pieces: all but the last begin with `+`.
"""

from __future__ import annotations

import contextlib
import errno
import json
import signal
import socket
import sys
import threading
from collections import deque
from collections.abc import Iterable, Mapping
from types import FrameType
from typing import Generic, TypeVar, cast

M = TypeVar("M")

PIECE = 32_768
"""Bytes of a piece: well below the smallest buffer that a socket has."""

HEARD = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD})
"""The signals that a supervisor takes, and its children therefore begin with."""

_GONE = {errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN, errno.EBADF, errno.EDESTADDRREQ}
"""Errors of a socket whose other end, or which itself, is no more; any other passes."""


# Messages


def pieces(message: Mapping[str, object]) -> list[bytes]:
    """A message as what is sent for it, one piece after the other."""
    data = json.dumps(message, default=repr).encode()
    cut = [data[at : at + PIECE] for at in range(0, len(data), PIECE)]
    return [b"+" + piece for piece in cut[:-1]] + [cut[-1]]


class Inbox(Generic[M]):
    """Puts pieces together again; `messages` says which come from where."""

    def __init__(self) -> None:
        self._begun: list[bytes] = []

    def add(self, piece: bytes) -> M | None:
        """The message that this piece ends, or None."""
        if piece.startswith(b"+"):
            self._begun.append(piece[1:])
            return None
        whole, self._begun = b"".join([*self._begun, piece]), []
        return cast("M", json.loads(whole))


def piece(channel: socket.socket, flags: int = 0) -> bytes | None:
    """One piece of what the other end says: None if there is none now, empty if the other end is gone and all is read.

    Of an end that has gone without reading all that it was told, the kernel says so once before it gives out its last words.
    """
    for _ in range(2):
        try:
            return channel.recv(2 * PIECE, flags)
        except ConnectionResetError:
            continue
        except BlockingIOError:
            return None
        except OSError:
            break
    return b""


class Outbox:
    """Messages on their way through a socket that does not block: what it does not take now goes later, in order."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel, self._lock = channel, threading.RLock()  # a signal's handler may send, too
        self._left: deque[tuple[bytes, list[int]]] = deque()

    def __len__(self) -> int:
        return len(self._left)

    def send(self, message: Mapping[str, object], fds: Iterable[int] = ()) -> None:
        """Send a message, its descriptors with its last piece."""
        *first, last = pieces(message)
        with self._lock:
            self._left.extend((piece, []) for piece in first)
            self._left.append((last, list(fds)))
            self.flush()

    def flush(self) -> None:
        """Send what the socket takes. What can never be sent, because the other end is gone, is dropped."""
        with self._lock:
            while self._left:
                piece, fds = self._left[0]
                try:
                    if fds:
                        socket.send_fds(self._channel, [piece], fds)
                    else:
                        self._channel.send(piece)
                except OSError as error:
                    if error.errno in _GONE:
                        self._left.clear()
                    return
                self._left.popleft()


# Signals


def take_no_notice(numbers: Iterable[int]) -> None:
    """Take no notice of signals, as if they were ignored; but programs that this process starts do not inherit it."""
    for number in numbers:
        signal.signal(number, _nothing)
        signal.siginterrupt(number, False)


def take_as_ever(numbers: Iterable[int] = HEARD) -> None:
    """In a child that a task has forked: signals mean what they mean in any Python program."""
    for number in numbers:
        ours = getattr(signal.getsignal(number), "__module__", "") or ""
        if ours.split(".")[0] == __name__.split(".")[0]:
            plain = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            with contextlib.suppress(ValueError):  # not the main thread: it keeps what it has
                signal.signal(number, plain)


def _nothing(number: int, frame: FrameType | None) -> None:
    """A handler, unlike SIG_IGN, ends with `exec`."""


# Descriptors


def flush_standard() -> None:
    """Flush stdout and stderr, as far as they can be: whoever read them may have gone."""
    for file in (sys.stdout, sys.stderr):
        try:
            file.flush()
        except (OSError, ValueError, AttributeError):
            pass
