"""The contracts of the parts that turn arguments into bytes: serializers and compressors."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol, runtime_checkable


class Secret:
    """Marks an option as secret: `Annotated[str, Secret]` is masked wherever options are shown."""


@runtime_checkable
class Serializer(Protocol):
    """Plain data to bytes and back. Never sees a Task.

    None, bool, int of any size, float, str, bytes, list, tuple, dict, set, frozenset, aware datetime, date, UUID and
    Decimal come back equal and of the same type. `dumps` refuses a value that cannot; it never changes one in silence.
    """

    executes: ClassVar[bool]
    """True if `loads` can run code; such a serializer is used only if a configuration names it."""

    def dumps(self, value: Any) -> bytes:
        """Raises TypeError, ValueError or OverflowError for a value that it cannot take."""

    def loads(self, data: bytes) -> Any:
        """Raises `DecodeError`; `Forged` if a signature does not match, before anything is deserialized."""


class Sealer(Serializer, Protocol):
    """A serializer that also answers for what is around its bytes. Both verbs are optional, and come together.

    `head` is the envelope up to the body (`docs/wire-format.md`): the names of serializer and compressor and the task's id.
    `body` is what lies in the store, after compression.
    """

    def seal(self, head: bytes, queue: str, body: bytes) -> bytes:
        """The body as it is sent."""

    def unseal(self, head: bytes, queue: str, body: bytes) -> bytes:
        """The body that `seal` was given; `Forged`, before anything is decompressed or deserialized, for any other."""


@runtime_checkable
class Compressor(Protocol):
    """Bytes to fewer bytes and back."""

    def compress(self, data: bytes) -> bytes:
        """The same data in fewer bytes, which `decompress` takes back, also in another process and release."""

    def decompress(self, data: bytes, limit: int) -> bytes:
        """Raises `DecodeError` as soon as the result would exceed `limit` bytes, or if the data are corrupt; never
        holds more than `limit` bytes and a buffer.
        """
