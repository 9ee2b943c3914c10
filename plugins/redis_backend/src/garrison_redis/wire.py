"""One connection to one Redis server: packed commands out, replies in, closed whenever it may be out of step.

A wire speaks RESP2 on a socket of its own. `import redis` costs 300 ms and a command through its client 25 µs more than the
bytes need, in every worker; what it would do for us beyond this page is to log in. Parsing and packing are hiredis's
where it is installed (the extra `garrison-redis[hiredis]`), else Python's.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Callable, Sequence
from typing import Any

from garrison.errors import QueueFull, StoreError, StoreUnavailable
from garrison_redis.address import Address

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl

Part = bytes | str | int | float


class Refusal(Exception):
    """An error reply of the server."""


class _Reader:
    """Replies out of a stream of bytes, without hiredis: `gets` returns False while a reply is incomplete."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._at = 0

    def feed(self, data: bytearray, start: int, size: int) -> None:
        self._data += memoryview(data)[start : start + size]

    def gets(self) -> Any:
        self._at = 0
        try:
            reply = self._one()
        except IndexError:
            return False
        del self._data[: self._at]
        return reply

    def _line(self) -> bytes:
        end = self._data.find(b"\r\n", self._at)
        if end < 0:
            raise IndexError
        line = bytes(self._data[self._at : end])
        self._at = end + 2
        return line

    def _one(self) -> Any:
        line = self._line()
        kind, rest = line[:1], line[1:]
        if kind == b"$":
            size = int(rest)
            if size < 0:
                return None
            end = self._at + size
            if len(self._data) < end + 2:
                raise IndexError
            data = bytes(self._data[self._at : end])
            self._at = end + 2
            return data
        if kind == b":":
            return int(rest)
        if kind == b"*":
            size = int(rest)
            return None if size < 0 else [self._one() for _ in range(size)]
        if kind == b"+":
            return rest
        if kind == b"-":
            return Refusal(rest.decode(errors="replace"))
        raise ConnectionError(f"no reply of a Redis server begins with {kind!r}")


def _pack(parts: Sequence[Part]) -> bytes:
    out = [b"*%d\r\n" % len(parts)]
    for part in parts:
        data = part if isinstance(part, bytes) else str(part).encode()
        out.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(out)


def _python_reader() -> Any:
    return _Reader()


pack: Callable[[Sequence[Part]], bytes] = _pack
_new_reader: Callable[[], Any] = _python_reader
try:
    import hiredis
except ImportError:
    pass
else:

    def _hiredis_reader() -> Any:
        return hiredis.Reader(replyError=Refusal, protocolError=ConnectionError)

    _new_reader = _hiredis_reader
    if hasattr(hiredis, "pack_command"):
        pack = hiredis.pack_command  # type: ignore[assignment]  # it takes more kinds of parts


class Wire:
    """A connection that is open, logged in and in its database; after any error it is closed for good."""

    def __init__(
        self,
        address: Address,
        timeout: float,
        connect_timeout: float,
        peer: tuple[str, int] | None = None,
    ):
        """Connect to `peer`, or to the address itself. Raises `StoreUnavailable` or `StoreError`."""
        self.address = address
        self.peer = peer or address.hosts[0]
        self.where = f"unix://{address.path}" if address.path else f"{self.peer[0]}:{self.peer[1]}"
        self.timeout = timeout
        try:
            self.sock = self._connect(connect_timeout)
        except OSError as error:
            raise StoreUnavailable(
                f"{self.where} cannot be reached: {_words(error)}. Is Redis running there?"
            ) from error
        self._reader = _new_reader()
        self._feed, self._gets = self._reader.feed, self._reader.gets
        # Read into one buffer for ever: a bytes object of this size for each reply would come from the kernel.
        self._buffer = bytearray(65_536)
        self._recv, self._send = self.sock.recv_into, self.sock.sendall
        self.open = True
        self._log_in()

    def _connect(self, connect_timeout: float) -> socket.socket:
        if self.address.path is not None:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            sock.settimeout(connect_timeout)
            try:
                sock.connect(self.address.path)
            except BaseException:
                sock.close()
                raise
        else:
            sock = socket.create_connection(self.peer, connect_timeout)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if self.address.tls:
                try:
                    sock = _tls(self.address).wrap_socket(sock, server_hostname=self.peer[0])
                except BaseException:
                    sock.close()
                    raise
        if self.address.tls:
            sock.settimeout(self.timeout)
        else:
            # The kernel's own limits: a socket with a timeout of Python's costs a poll before every read.
            sock.settimeout(None)
            limit = struct.pack("ll", int(self.timeout), int(self.timeout % 1 * 1_000_000))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        return sock

    def _log_in(self) -> None:
        password, username, db = self.address.password, self.address.username, self.address.db
        if password is not None:
            reply = self.ask(pack(("AUTH", username, password) if username else ("AUTH", password)))
            if isinstance(reply, Refusal):
                self.close()
                raise refused(reply, self.where)
        if db:
            reply = self.ask(pack(("SELECT", db)))
            if isinstance(reply, Refusal):
                self.close()
                raise refused(reply, self.where)

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

    def ask_all(self, commands: Sequence[bytes]) -> list[Any]:
        """Several commands in one round trip."""
        if not commands:
            return []
        replies = [self.ask(b"".join(commands))]
        while len(replies) < len(commands):
            reply = self.ready()
            if reply is not False:
                replies.append(reply)
        return replies

    def ready(self) -> Any:
        """The reply that has come, or False. To be called when the socket is readable."""
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

    def _lost(self, error: OSError) -> StoreUnavailable:
        self.close()
        return StoreUnavailable(
            f"{self.where} did not answer: {_words(error, self.timeout)}", maybe_pushed=True
        )

    def close(self) -> None:
        self.open = False
        try:
            self.sock.close()
        except OSError:
            pass


def _tls(address: Address) -> ssl.SSLContext:
    import ssl

    try:
        context = ssl.create_default_context(cafile=address.ca)
        if address.certificate:
            context.load_cert_chain(address.certificate, address.key)
    except OSError as error:
        raise StoreError(f"the TLS files for {address} cannot be read: {error}") from error
    context.check_hostname = address.check_hostname and address.verify
    if not address.verify:
        context.verify_mode = ssl.CERT_NONE
    return context


def _words(error: OSError, timeout: float | None = None) -> str:
    if isinstance(error, BlockingIOError | TimeoutError):
        return "it timed out" if timeout is None else f"nothing came for {timeout:g} s"
    return error.strerror or str(error)


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
    "NOPERM": "this user may not do that; garrison's users need +@all on their keys, or at least the commands in docs/redis.md",
}


def refused(reply: Refusal, where: str, pushing: bool = False) -> StoreError:
    """The error that says in words what the server answered, without repeating what was sent."""
    text = str(reply)
    # "ERR Error running script …: @user_script: 12: -OOM …" is how Redis 6.2 tells of an error inside a script.
    code = text.partition(" ")[0]
    if code not in _UNAVAILABLE and code not in _LOGIN:
        code = next((known for known in (*_UNAVAILABLE, *_LOGIN) if f"-{known} " in text), code)
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
        return StoreError(
            f"{where} refused us: the user name or the password does not fit ({code})"
        )
    if "DB index" in text:
        return StoreError(f"{where} has no such database; look at `databases` in its configuration")
    return StoreError(f"{where} answered with an error: {text[:300]}")
