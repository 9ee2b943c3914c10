"""A signature around any serializer: who can write to the store, and has no key, can make no task and change none.

Each message carries an HMAC of the whole of it: head (with the task's id), queue and body. Nothing is decompressed or
deserialized before it matches. So a message that was moved to another queue, or got another id or head, is `Forged`.
What was signed may still be repeated as it is, for as long as its key is believed.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

from regiment.contracts import Secret, Serializer
from regiment.errors import ConfigError, DecodeError, Forged
from regiment_serializers import keys as signing
from regiment_serializers.json import JsonSerializer
from regiment_serializers.msgpack import MsgpackSerializer

_DIGEST = 32
_PURPOSE = b"regiment-signed-1"
"""Else a signature of the same key over other things, such as pickle's, could pass for one."""
_INNER: dict[str, type[Serializer]] = {"msgpack": MsgpackSerializer, "json": JsonSerializer}


class SignedSerializer:
    """`serializer` ("msgpack", "json", or any serializer object) with a signature around it.

    `keys`: the first one signs, each of them is believed; at least 16 characters, 8 of them different. To change a key: first
    workers with `keys=(old, new)`, then everyone with `keys=(new, old)`, and `keys=(new,)` when nothing waits that the old one
    signed.
    """

    executes: ClassVar[bool] = False

    def __init__(self, keys: Annotated[Sequence[str], Secret], serializer: str | Serializer = "msgpack") -> None:
        problems = self.check({"keys": keys, "serializer": serializer})
        if problems:
            raise ConfigError(problems)
        self._keys = signing.in_bytes(keys)
        inner: Serializer = _INNER[serializer]() if isinstance(serializer, str) else serializer
        name = serializer if isinstance(serializer, str) else type(serializer).__qualname__
        self._name = name
        self._mark = bytes([len(name.encode())]) + name.encode()
        self._dumps, self._loads = inner.dumps, inner.loads

    @staticmethod
    def check(options: Mapping[str, Any]) -> list[str]:
        """All problems of these options. The keys are secret, so no text shows them."""
        keys, inner = options.get("keys"), options.get("serializer", "msgpack")
        if not isinstance(keys, (list, tuple)) or not keys:
            seen = "empty" if isinstance(keys, (list, tuple)) else f"a {type(keys).__name__}"
            found = [f"signed: keys is {seen}; expected a tuple of keys, of which the first one signs"]
        else:
            found = signing.problems("signed", [("keys[0]", keys[0])], keys[1:], "keys", 1)
        if isinstance(inner, str):
            if inner not in _INNER:
                found.append(
                    f"signed: serializer is {inner!r}; expected {', '.join(map(repr, _INNER))} or a serializer object"
                )
        elif not (callable(getattr(inner, "dumps", None)) and callable(getattr(inner, "loads", None))):
            found.append(f"signed: serializer is a {type(inner).__name__}; expected an object with dumps and loads")
        elif len(type(inner).__qualname__.encode()) > 255:
            found.append("signed: serializer has a class whose name is longer than 255 bytes")
        return found

    def dumps(self, value: Any) -> bytes:
        return self._mark + self._dumps(value)

    def loads(self, data: bytes) -> Any:
        if not data.startswith(self._mark):
            name = data[1 : 1 + data[0]].decode("utf-8", "replace") if data else ""
            raise DecodeError(f"the signed message is written in {name!r}; this queue is configured for {self._name!r}")
        return self._loads(data[len(self._mark) :])

    def seal(self, head: bytes, queue: str, body: bytes) -> bytes:
        """The body behind the signature of all that is sent, and of where."""
        return hmac.digest(self._keys[0], _covered(head, queue, body), "sha256") + body

    def unseal(self, head: bytes, queue: str, body: bytes) -> bytes:
        """The body, if a key of ours signed it for this head and queue."""
        if len(body) <= _DIGEST:
            raise DecodeError(f"a signed message has a body of more than {_DIGEST} bytes; this has {len(body)}")
        digest, inner = body[:_DIGEST], body[_DIGEST:]
        if not signing.signed(digest, _covered(head, queue, inner), self._keys):
            raise Forged(
                "the signature of a message matches no key that is known here; it was not read. Either it was forged, moved "
                "from another queue or given another id, or its producer has another key (keys lists all that are believed)"
            )
        return inner


def _covered(head: bytes, queue: str, body: bytes) -> bytes:
    """What is signed; lengths stand before what has no fixed one, so that nothing can be shifted from one into the other."""
    where = queue.encode("utf-8", "surrogatepass")
    return b"".join((_PURPOSE, len(head).to_bytes(4, "big"), head, len(where).to_bytes(4, "big"), where, body))
