"""msgpack, json, signed pickle, and a signature around any of them: how regiment turns arguments into bytes.

The names here are the typed way to choose one: `WorkerConfig(serializer=Pickle(key=…))`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from regiment import Use

if TYPE_CHECKING:
    from collections.abc import Sequence

    from regiment.contracts import Serializer

__all__ = ["Json", "Msgpack", "Pickle", "Signed"]


class Msgpack(Use):
    """The default: small, fast, plain data only."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("msgpack")


class Json(Use):
    """People and every other language can read it; several times slower than msgpack."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("json")


class Pickle(Use):
    """Any Python object, signed with `key` (at least 16 characters); messages signed with `old_keys` are read too."""

    __slots__ = ()

    def __init__(self, *, key: str, old_keys: Sequence[str] = ()) -> None:
        super().__init__("pickle", key=key, old_keys=old_keys)


class Signed(Use):
    """Plain data, signed with the first of `keys`, each of which is believed; tied to its queue and its task's id.

    `Signed(keys=(KEY,))` is msgpack; `Signed("json", keys=…)`; or any serializer object. Say `accept=("signed",)` beside it, or
    the queue reads unsigned messages too.
    """

    __slots__ = ()

    def __init__(self, serializer: str | Serializer = "msgpack", *, keys: Sequence[str]) -> None:
        super().__init__("signed", serializer=serializer, keys=keys)
