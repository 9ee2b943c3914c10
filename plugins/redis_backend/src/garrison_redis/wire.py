"""One connection to one Redis server: packed commands out, replies in, closed whenever it may be out of step.

redis-py makes the connection: TLS, login, database, Unix sockets. What goes over it afterwards is packed and parsed by
hiredis on the same socket where it is installed (the extra `garrison-redis[hiredis]`), else by redis-py: `docs/redis.md`
says what each step of the client library costs.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Sequence
from typing import Any

from redis.connection import (
    Connection,
    DefaultParser,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from garrison.errors import QueueFull, StoreError, StoreUnavailable
from garrison_redis.address import Address

try:
    import hiredis
except ImportError:
    hiredis = None  # type: ignore[assignment,unused-ignore]

Part = bytes | str | int | float
Refusal = ResponseError
"""An error reply of the server."""


class _Parser(DefaultParser):  # type: ignore[misc,valid-type]
    """Keeps error replies whole: redis-py strips the code of those that it has a class for."""

    EXCEPTION_CLASSES: dict[str, Any] = {}


if hiredis is not None and hasattr(hiredis, "pack_command"):
    _packed: Any = hiredis.pack_command

    def pack(parts: Sequence[Part]) -> bytes:
        """The bytes of a command.

        hiredis gets no numbers: it asks for their repr, in which a signal's handler may raise (a time limit that strikes
        in a push), does not look whether it did, and the process dies of SIGSEGV (hiredis 3.5).
        """
        plain = [p if type(p) is bytes or type(p) is str else str(p) for p in parts]
        packed: bytes = _packed(tuple(plain))
        return packed
else:
    _packer: Any = Connection()  # type: ignore[no-untyped-call]  # it need not be connected to pack

    def pack(parts: Sequence[Part]) -> bytes:
        return b"".join(_packer.pack_command(*parts))


def connection_options(address: Address, timeout: float, connect_timeout: float) -> dict[str, Any]:
    """What redis-py calls the options of an address."""
    options: dict[str, Any] = {
        "username": address.username,
        "password": address.password,
        # Without a number in SELECT: see `pack`.
        "db": str(address.db) if address.db else 0,
        "socket_timeout": timeout,
        "socket_connect_timeout": connect_timeout,
        "protocol": 2,
    }
    if address.path is None:
        options["socket_keepalive"] = True
        if address.tls:
            options |= {
                "ssl_ca_certs": address.ca,
                "ssl_certfile": address.certificate,
                "ssl_keyfile": address.key,
                "ssl_cert_reqs": "required" if address.verify else "none",
                "ssl_check_hostname": address.check_hostname and address.verify,
            }
    return options


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
        self._connection = self._connected(connection_options(address, timeout, connect_timeout))
        # redis-py has no public name for it; a blocking pop sleeps on it beside the wake-up descriptor.
        self.sock: socket.socket = self._connection._sock
        self.open = True

    def _connected(self, options: dict[str, Any]) -> Any:
        kind: Any
        place: dict[str, Any]
        if self.address.path is not None:
            kind, place = UnixDomainSocketConnection, {"path": self.address.path}
        else:
            kind = SSLConnection if self.address.tls else Connection
            place = {"host": self.peer[0], "port": self.peer[1]}
        connection = kind(parser_class=_Parser, **place, **options)
        # No CLIENT SETINFO, which is two more round trips for each connection.
        connection.lib_name = connection.lib_version = connection.driver_info = None
        try:
            connection.connect()
        except ResponseError as error:
            raise refused(error, self.where) from error
        except (RedisError, OSError) as error:
            cause = error.__context__ if isinstance(error.__context__, OSError) else error
            if self.address.tls and isinstance(cause, FileNotFoundError | PermissionError):
                raise StoreError(
                    f"the TLS files for {self.address} cannot be read: {cause}"
                ) from error
            raise StoreUnavailable(
                f"{self.where} cannot be reached: {_words(cause)}. Is Redis running there?"
            ) from error
        return connection

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
        try:
            return self._connection.read_response(disable_decoding=True)
        except ResponseError as error:
            return error
        except (RedisError, OSError) as error:
            raise self._lost(error) from error
        except BaseException:
            self.close()
            raise

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
        return StoreUnavailable(
            f"{self.where} did not answer: {_words(error, self.timeout)}", maybe_pushed=True
        )

    def close(self) -> None:
        self.open = False
        self._connection.disconnect()


class FastWire(Wire):
    """The same with hiredis on the socket that redis-py opened: two calls of Python's between a command and its reply."""

    def __init__(
        self,
        address: Address,
        timeout: float,
        connect_timeout: float,
        peer: tuple[str, int] | None = None,
    ):
        super().__init__(address, timeout, connect_timeout, peer)
        if not address.tls:
            # The kernel's own limits: a socket with a timeout of Python's costs a poll before every read.
            self.sock.settimeout(None)
            limit = struct.pack("ll", int(timeout), int(timeout % 1 * 1_000_000))
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
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


def connect(
    address: Address, timeout: float, connect_timeout: float, peer: tuple[str, int] | None = None
) -> Wire:
    """A wire of the fastest kind there is here."""
    kind = Wire if hiredis is None else FastWire
    return kind(address, timeout, connect_timeout, peer)


def _words(error: BaseException, timeout: float | None = None) -> str:
    if isinstance(error, BlockingIOError | TimeoutError | RedisTimeoutError):
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
