"""Options of verbs that serve over HTTP: where to listen, and who has to know a secret."""

from __future__ import annotations

import ipaddress
import os
import socket
from pathlib import Path

from regiment.errors import ConfigError

LEAST_SECRET = 16
"""Characters that a secret has at least."""


def address(text: str, example: str, option: str = "--listen") -> tuple[str, int]:
    """The host and the port that `option` has named."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65535:
        raise ConfigError(f'{option} is "{text}"; expected HOST:PORT, such as {example}')
    return host.strip("[]"), int(port)


def taken(host: str, port: int) -> socket.socket:
    """A socket that listens there; OSError where the address cannot be had."""
    return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)


def in_url(host: str) -> str:
    """A host as it stands in a URL."""
    return f"[{host}]" if ":" in host else host


def this_host_alone(host: str) -> bool:
    """True if nobody else reaches this address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def refused(option: str, where: str, error: OSError) -> ConfigError:
    """What is said of an address that cannot be had: `socket.create_server` has put the address into its text once more."""
    why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
    return ConfigError(f"cannot serve at {where}: {why}; name another: {option} HOST:PORT")


def secret(option: str, path: Path) -> str:
    """What a file holds that `option` has named."""
    try:
        found = path.read_text().strip()
    except OSError as error:
        raise ConfigError(f"{option} {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(
            f"{option} {path} holds bytes that are no text; expected a word of letters and digits"
        ) from None
    if len(found) < LEAST_SECRET:
        raise ConfigError(f"{option} {path} holds {len(found)} characters; expected {LEAST_SECRET} at least")
    return found
