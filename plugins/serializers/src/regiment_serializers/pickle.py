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

_DIGEST = 32
_SHORTEST = 16
_FEWEST = 8
"""The least number of different characters in a key; a key with fewer was typed, not generated, and can be guessed."""


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
        self._keys = [one.encode("utf-8", "surrogatepass") for one in (key, *old_keys)]

    @staticmethod
    def check(options: Mapping[str, Any]) -> list[str]:
        """All problems of these options. The values are secret, so no text shows them."""
        problems = []
        if not _good(options.get("key")):
            problems.append(
                f"pickle: key is {_seen(options.get('key'))}; expected a secret of at least {_SHORTEST} "
                "characters, such as secrets.token_hex(32) makes"
            )
        elif _typed(options["key"]):
            problems.append(
                f"pickle: key has fewer than {_FEWEST} different characters; expected a secret that was made and not typed, "
                "such as secrets.token_hex(32) makes"
            )
        old = options.get("old_keys", ())
        if not isinstance(old, (list, tuple)):
            problems.append(f"pickle: old_keys is a {type(old).__name__}; expected a list of keys")
        else:
            problems += [
                f"pickle: old_keys[{at}] is {_seen(one)}; expected at least {_SHORTEST} characters"
                for at, one in enumerate(old)
                if not _good(one)
            ]
        return problems

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
        if not any(hmac.compare_digest(digest, hmac.digest(key, pickled, "sha256")) for key in self._keys):
            raise Forged(
                "the signature of a pickled message matches no key that is known here; it was not unpickled. "
                "Either it was forged, or its producer has another key (old_keys accepts former ones)"
            )
        try:
            return pickle.loads(pickled)
        except Exception as error:  # a class that is missing here, or an __init__ that raises
            raise DecodeError(f"not readable as pickle: {type(error).__name__}: {error}"[:300]) from error


def _good(key: object) -> bool:
    return isinstance(key, str) and len(key) >= _SHORTEST


def _typed(key: str) -> bool:
    return len(set(key)) < _FEWEST


def _seen(key: object) -> str:
    if key is None:
        return "missing"
    return f"{len(key)} characters long" if isinstance(key, str) else f"a {type(key).__name__}"
