"""Pickle, signed: any Python object, for queues that name it and share a key.

A pickle can run any code when it is read. So every message has an HMAC of its pickled bytes, and no byte is unpickled
before the HMAC matches. The signature covers the arguments and regiment's record of the task,
not the head of the envelope: someone who can write to the store can repeat a signed message, not make one.
"""

from __future__ import annotations

import hmac
import pickle
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

from regiment.contracts import Secret
from regiment.errors import ConfigError, DecodeError, Forged
from regiment_serializers import keys

_DIGEST = 32


class PickleSerializer:
    """Anything that pickles. `key`: at least 16 characters, 8 of them different, the same in producers and workers.

    To change the key without losing waiting tasks, first give workers the new `key` and put the old one into
    `old_keys`; then change the producers. Messages of an old key are read as long as it is listed: remove it when no
    such message waits.
    """

    executes: ClassVar[bool] = True

    def __init__(self, key: Annotated[str, Secret], old_keys: Annotated[Sequence[str], Secret] = ()) -> None:
        problems = self.check({"key": key, "old_keys": old_keys})
        if problems:
            raise ConfigError(problems)
        self._keys = keys.in_bytes((key, *old_keys))

    @staticmethod
    def check(options: Mapping[str, Any]) -> list[str]:
        """All problems of these options. The values are secret, so no text shows them."""
        return keys.problems("pickle", [("key", options.get("key"))], options.get("old_keys", ()), "old_keys")

    def dumps(self, value: Any) -> bytes:
        try:
            data = pickle.dumps(value, protocol=5)
        except RecursionError:
            raise ValueError("nested too deeply to be pickled") from None
        except Exception as error:  # a __reduce__ may raise any exception
            raise TypeError(f"{type(error).__name__}: {error}"[:300]) from error
        return hmac.digest(self._keys[0], data, "sha256") + data

    def loads(self, data: bytes) -> Any:
        if len(data) <= _DIGEST:
            raise DecodeError(f"a signed pickle is longer than {_DIGEST} bytes; this has {len(data)}")
        digest, pickled = data[:_DIGEST], data[_DIGEST:]
        if not keys.signed(digest, pickled, self._keys):
            raise Forged(
                "the signature of a pickled message matches no key that is known here; it was not unpickled. "
                "Either it was forged, or its producer has another key (old_keys accepts former ones)"
            )
        try:
            return pickle.loads(pickled)
        except Exception as error:  # a class that is missing here, or an __init__ that raises
            raise DecodeError(f"not readable as pickle: {type(error).__name__}: {error}"[:300]) from error
