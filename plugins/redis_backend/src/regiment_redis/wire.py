"""One connection to one Redis server: packed commands out, replies in, closed whenever it may be out of step.

Where hiredis is installed (the extra `regiment-redis[hiredis]`) and the server is reached in plain, a socket and hiredis
are all there is. TLS, and everything where hiredis is not, is redis-py's (`client`), which is imported for that only:
`docs/redis.md` says what each step of the client library costs.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Sequence
from typing import Any

from regiment.errors import QueueFull, StoreError, StoreUnavailable

try:
    import hiredis as hiredis  # for `reach`, too

    hiredis.pack_command  # noqa: B018  (not in old ones)
except (ImportError, AttributeError):
    hiredis = None  # type: ignore[assignment,unused-ignore]
FAST: bool = hiredis is not None
"""Whether hiredis is here."""

Part = bytes | str | int | float


class Refusal(Exception):
    """An error reply of the server, with its text as it came."""


def as_it_came(parts: Sequence[Part]) -> list[Part]:
    """The parts of a command with names that are no UTF-8 as the bytes that they were when they were read."""
    return [p.encode("utf-8", "surrogateescape") if isinstance(p, str) else p for p in parts]


class Wire:
    """A connection that is open, logged in and in its database; after any error it is closed for good."""

    def __init__(self, where: str, sock: socket.socket, timeout: float) -> None:
        self.where, self.sock, self.timeout = where, sock, timeout
        self.open = True

    def send(self, command: bytes) -> None:
        """Send without waiting for the reply."""
        try:
            self.sock.sendall(command)
        except OSError as error:
            raise self._lost(error) from error
        except BaseException:
            self.close()
            raise

    def ask(self, command: bytes) -> Any:
        """Send a packed command and return its reply; an error reply comes back as a `Refusal`.

        Whatever interrupts (a time limit that strikes in here, too) closes the connection: the reply may still come.
        """
        try:
            self.send(command)
            return self.receive()
        except BaseException:  # between the two, too
            self.close()
            raise

    def receive(self) -> Any:
        """The next reply."""
        raise NotImplementedError

    def ready(self) -> Any:
        """The reply that has come, or False if it is not whole. To be called when the socket is readable."""
        return self.receive()

    def ask_all(self, commands: Sequence[bytes]) -> list[Any]:
        """Several commands in one round trip."""
        if not commands:
            return []
        try:
            self.send(b"".join(commands))
            return [self.receive() for _ in commands]
        except BaseException:
            self.close()
            raise

    def block(self, command: bytes, seconds: float) -> Any:
        """The reply of a blocking command that ends by itself after `seconds`."""
        self.send(command)
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        until = time.monotonic() + seconds + self.timeout
        while (left := until - time.monotonic()) > 0:
            if poll.poll(left * 1000):
                reply = self.ready()
                if reply is not False:
                    return reply
        raise self._lost(TimeoutError())

    def _lost(self, error: Exception) -> StoreUnavailable:
        self.close()
        return StoreUnavailable(f"{self.where} did not answer: {words(error, self.timeout)}", maybe_pushed=True)

    def close(self) -> None:
        self.open = False
        self.sock.close()


class FastWire(Wire):
    """With hiredis on the socket: two calls of Python's between a command and its reply."""

    def __init__(self, where: str, sock: socket.socket, timeout: float) -> None:
        super().__init__(where, sock, timeout)
        reader: Any = hiredis.Reader(replyError=Refusal, protocolError=ConnectionError)
        self._feed, self._gets = reader.feed, reader.gets
        # Read into one buffer for ever: a bytes object of this size for each reply would come from the kernel.
        self._buffer = bytearray(65_536)
        self._recv, self._send = self.sock.recv_into, self.sock.sendall

    def ask(self, command: bytes) -> Any:
        try:
            self._send(command)
            while True:
                size = self._recv(self._buffer)
                if not size:
                    raise ConnectionResetError("the server closed the connection")
                self._feed(self._buffer, 0, size)
                reply = self._gets()
                if reply is not False:
                    return reply
        except OSError as error:
            raise self._lost(error) from error
        except BaseException:
            self.close()
            raise

    def receive(self) -> Any:
        while (reply := self.ready()) is False:
            pass
        return reply

    def ready(self) -> Any:
        try:
            reply = self._gets()
            if reply is False:
                size = self._recv(self._buffer)
                if not size:
                    raise ConnectionResetError("the server closed the connection")
                self._feed(self._buffer, 0, size)
                reply = self._gets()
            return reply
        except OSError as error:
            raise self._lost(error) from error
        except BaseException:
            self.close()
            raise


def unreachable(where: str, error: BaseException) -> StoreUnavailable:
    """The error to raise when there was no connection to be had."""
    return StoreUnavailable(f"{where} cannot be reached: {words(error)}. Is Redis running there?")


def words(error: BaseException, timeout: float | None = None) -> str:
    """What went wrong with a connection."""
    if isinstance(error, BlockingIOError | TimeoutError):
        return "it timed out" if timeout is None else f"nothing came for {timeout:g} s"
    return getattr(error, "strerror", None) or str(error)


_UNAVAILABLE = {
    "LOADING": "it is loading its data",
    "READONLY": "it is a replica now",
    "MASTERDOWN": "it is a replica that has lost its primary",
    "CLUSTERDOWN": "its cluster does not serve all slots",
    "TRYAGAIN": "the slot is moving to another node",
    "ASK": "the slot is moving to another node",
    "BUSY": "a script of somebody's runs for too long",
    "NOREPLICAS": "it has too few replicas",
    "UNBLOCKED": "the connection was unblocked",
    "OOM": "it has reached maxmemory",
    "MISCONF": "it cannot write to its disk",
}
_LOGIN = {
    "NOAUTH": "it asks for a password and none is set; put it into the URL (redis://:password@host) or password=…",
    "WRONGPASS": "the user name or the password is wrong",
    "NOPERM": "this user may not do that; docs/redis.md has a line with the rights for each kind of user",
}


def refused(reply: Refusal, where: str, pushing: bool = False) -> StoreError:
    """The error that says in words what the server answered, without repeating what was sent."""
    text = str(reply)
    # "ERR Error running script …: @user_script: 12: -OOM …" is how Redis 6.2 tells of an error inside a script.
    code = text.partition(" ")[0]
    if code not in _UNAVAILABLE and code not in _LOGIN:
        code = next((known for known in (*_UNAVAILABLE, *_LOGIN) if f"-{known} " in text), code)
    if "The user executing the script can't" in text:
        code = "NOPERM"  # inside a script it is told in these words, whatever is missing
    if code in ("OOM", "MISCONF") and pushing:
        return QueueFull(
            f"{where} takes no more tasks: {_UNAVAILABLE[code]}. Let workers drain it, or give it more room"
        )
    if code in _UNAVAILABLE:
        return StoreUnavailable(f"{where} cannot serve this now: {_UNAVAILABLE[code]} ({code})")
    if code in _LOGIN:
        return StoreError(f"{where} refused us: {_LOGIN[code]} ({code})")
    if "max number of clients" in text:
        return StoreUnavailable(f"{where} has no connection left: it has reached maxclients")
    if "invalid password" in text or "without any password configured" in text or "AUTH" in text:
        return StoreError(f"{where} refused us: the user name or the password does not fit ({code})")
    if "DB index" in text:
        return StoreError(f"{where} has no such database; look at `databases` in its configuration")
    return StoreError(f"{where} answered with an error: {text[:300]}")
