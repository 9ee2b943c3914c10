"""How a server is reached: by a socket and hiredis where that is possible, else by redis-py, which is imported for that only."""

from __future__ import annotations

import encodings.idna  # noqa: F401  `socket` loads it at its first look-up: a child forked meanwhile would hang there
import socket
import struct
from collections.abc import Sequence
from typing import Any

from regiment.errors import StoreUnavailable
from regiment_redis.address import Address
from regiment_redis.wire import FAST, FastWire, Part, Refusal, Wire, as_it_came, hiredis, refused, unreachable

if FAST:
    _packed: Any = hiredis.pack_command

    def pack(parts: Sequence[Part]) -> bytes:
        """The bytes of a command.

        hiredis gets no numbers: it asks for their repr, in which a signal's handler may raise (a time limit that strikes
        in a push), does not look whether it did, and the process dies of SIGSEGV (hiredis 3.5).
        """
        plain = [p if type(p) is bytes or type(p) is str else str(p) for p in parts]
        try:
            packed: bytes = _packed(tuple(plain))
        except UnicodeEncodeError:
            packed = _packed(tuple(as_it_came(plain)))
        return packed
else:

    def pack(parts: Sequence[Part]) -> bytes:
        from regiment_redis import client

        return client.pack(parts)


def connect(address: Address, timeout: float, connect_timeout: float, peer: tuple[str, int] | None = None) -> Wire:
    """A wire to `peer`, or to the address itself, of the fastest kind there is here.

    Raises `StoreUnavailable` if it cannot be reached and `StoreError` if it does not let us in.
    """
    peer = peer or address.hosts[0]
    where = f"unix://{address.path}" if address.path else f"{peer[0]}:{peer[1]}"
    if address.tls or not FAST:
        from regiment_redis import client

        return client.connect(address, where, timeout, connect_timeout, peer)
    try:
        sock = _socket(address, peer, timeout, connect_timeout)
    except OSError as error:
        raise unreachable(where, error) from error
    wire = FastWire(where, sock, timeout)
    for command in _login(address):
        try:
            reply = wire.ask(pack(command))
        except StoreUnavailable as error:
            raise unreachable(where, error.__cause__ or error) from error
        if isinstance(reply, Refusal):
            wire.close()
            raise refused(reply, where)
    return wire


def _socket(address: Address, peer: tuple[str, int], timeout: float, connect_timeout: float) -> socket.socket:
    if address.path is None:
        sock = socket.create_connection(peer, connect_timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    else:
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.settimeout(connect_timeout)
            sock.connect(address.path)
        except BaseException:
            sock.close()
            raise
    # The kernel's own limits: a socket with a timeout of Python's costs a poll before every read.
    sock.settimeout(None)
    limit = struct.pack("ll", int(timeout), int(timeout % 1 * 1_000_000))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
    return sock


def _login(address: Address) -> list[tuple[str, ...]]:
    commands: list[tuple[str, ...]] = []
    if address.username:
        commands.append(("AUTH", address.username, address.password or ""))
    elif address.password:
        commands.append(("AUTH", address.password))
    if address.db:
        commands.append(("SELECT", str(address.db)))
    return commands
