"""What redis-py does here: connections with TLS, everything where hiredis is not installed, sentinels, slots of keys.

Importing it takes ten times as long as importing a socket, and some 15 MB: it is done when one of these is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis.backoff import NoBackoff
from redis.connection import (
    Connection,
    DefaultParser,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.crc import key_slot as key_slot
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError, Sentinel

from regiment.errors import StoreError, StoreUnavailable
from regiment_redis.address import Address
from regiment_redis.wire import (
    FAST,
    FastWire,
    Part,
    Refusal,
    Wire,
    as_it_came,
    refused,
    unreachable,
)


class _Parser(DefaultParser):  # type: ignore[misc,valid-type]
    """Keeps error replies whole: redis-py strips the code of those that it has a class for."""

    EXCEPTION_CLASSES: dict[str, Any] = {}


_packer: Any = Connection()  # type: ignore[no-untyped-call]  # it need not be connected to pack


def pack(parts: Sequence[Part]) -> bytes:
    """The bytes of a command."""
    try:
        return b"".join(_packer.pack_command(*parts))
    except UnicodeEncodeError:
        return b"".join(_packer.pack_command(*as_it_came(parts)))


class ClientWire(Wire):
    """A wire whose replies redis-py parses."""

    def __init__(self, where: str, connection: Any, timeout: float) -> None:
        super().__init__(where, connection._sock, timeout)
        self._connection = connection

    def receive(self) -> Any:
        try:
            return self._connection.read_response(disable_decoding=True)
        except ResponseError as error:
            return Refusal(str(error))
        except RedisTimeoutError as error:
            raise self._lost(TimeoutError()) from error
        except (RedisError, OSError) as error:
            raise self._lost(error) from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self.open = False
        self._connection.disconnect()


class TlsWire(FastWire):
    """hiredis on the socket that redis-py has opened, which stays redis-py's to close."""

    def __init__(self, where: str, connection: Any, timeout: float) -> None:
        super().__init__(where, connection._sock, timeout)
        self._connection = connection

    def close(self) -> None:
        self.open = False
        self._connection.disconnect()


def connect(address: Address, where: str, timeout: float, connect_timeout: float, peer: tuple[str, int]) -> Wire:
    """As `reach.connect`, over redis-py's connection."""
    kind: Any
    place: dict[str, Any]
    if address.path is not None:
        kind, place = UnixDomainSocketConnection, {"path": address.path}
    else:
        kind = SSLConnection if address.tls else Connection
        place = {"host": peer[0], "port": peer[1]}
    options = _options(address, timeout, connect_timeout)
    connection = kind(parser_class=_Parser, **place, **options)
    # No CLIENT SETINFO, which is two more round trips for each connection.
    connection.lib_name = connection.lib_version = connection.driver_info = None
    try:
        connection.connect()
    except ResponseError as error:
        raise refused(Refusal(str(error)), where) from error
    except (RedisError, OSError) as error:
        cause = error.__context__ if isinstance(error.__context__, OSError) else error
        if address.tls and isinstance(cause, FileNotFoundError | PermissionError):
            raise StoreError(f"the TLS files for {address} cannot be read: {cause}") from error
        if isinstance(cause, RedisTimeoutError):
            cause = TimeoutError()
        raise unreachable(where, cause) from error
    return (TlsWire if FAST else ClientWire)(where, connection, timeout)


def primary(address: Address, timeout: float, connect_timeout: float) -> tuple[str, int]:
    """The server that the sentinels of an address name now."""
    login = address._replace(db=0, username=address.sentinel_username, password=address.sentinel_password)
    options = _options(login, timeout, connect_timeout)
    sentinels: Any = Sentinel(  # type: ignore[no-untyped-call]
        address.hosts,
        sentinel_kwargs={**options, "ssl": address.tls, "retry": Retry(NoBackoff(), 0)},
    )
    try:
        host, port = sentinels.discover_master(address.service)
    except RedisError as error:
        if not isinstance(error, MasterNotFoundError) or "AuthenticationError" in str(error):
            raise StoreError(f"the sentinels of {address} refused us: {error}") from error
        raise StoreUnavailable(f"no sentinel of {address} names a primary: {error}") from error
    finally:
        for client in sentinels.sentinels:
            client.close()
    return str(host), int(port)


def _options(address: Address, timeout: float, connect_timeout: float) -> dict[str, Any]:
    """What redis-py calls the options of an address."""
    options: dict[str, Any] = {
        "username": address.username,
        "password": address.password,
        # Without a number in SELECT: see `reach.pack`.
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
