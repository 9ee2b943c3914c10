"""Values, locks and presence records of one Redis: what it keeps by name, apart from its queues."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from regiment.errors import StoreError
from regiment_redis.asking import ms
from regiment_redis.link import Link, Scripts
from regiment_redis.records import name as as_name
from regiment_redis.scripts import Script
from regiment_redis.waiting import Watch
from regiment_redis.wire import Part, Refusal

_LOCK_TAKE, _LOCK_FREE = Script("lock_take"), Script("lock_free")
_ANNOUNCE, _PRESENCE = Script("announce"), Script("presence")


class Names:
    """The verbs of `regiment.contracts.Connector` that concern no queue."""

    def __init__(self, root: Link, prefix: str, scripts: Scripts, watch: Watch) -> None:
        self._root, self._prefix, self._run, self._watch = root, prefix, scripts.run, watch

    def set(self, key: str, value: bytes, ttl: float | None) -> None:
        name = f"{self._prefix}:value:{key}"
        if ttl is not None and ttl <= 0:
            self.delete(key)
        elif ttl is None:
            self._command(name, "SET", name, value)
        else:
            self._command(name, "SET", name, value, "PX", max(ms(ttl), 1))

    def get(self, key: str) -> bytes | None:
        name = f"{self._prefix}:value:{key}"
        found: bytes | None = self._command(name, "GET", name)
        return found

    def delete(self, key: str) -> bool:
        name = f"{self._prefix}:value:{key}"
        return bool(self._command(name, "DEL", name))

    def lock_take(self, name: str, owner: str, ttl: float) -> bool:
        return bool(self._run(_LOCK_TAKE, self._lock(name), owner, max(ms(ttl), 1)))

    def lock_free(self, name: str, owner: str) -> bool:
        return bool(self._run(_LOCK_FREE, self._lock(name), owner))

    def lock_look(self, name: str) -> tuple[str, float] | None:
        key = self._lock(name)
        owner, left = self._command(key, "GET", key), self._command(key, "PTTL", key)
        return None if owner is None or left < 0 else (as_name(owner), left / 1000)

    def lock_wait(self, name: str, seconds: float) -> None:
        key = self._lock(name)
        left = self._command(key, "PTTL", key)
        if left > 0 and seconds > 0:
            self._watch.once(f"{key}:free", min(seconds, (left + 1) / 1000))

    def announce(self, key: str, value: bytes, ttl: float) -> None:
        self._run(_ANNOUNCE, f"{self._prefix}:{{presence}}", key, value, ms(ttl))

    def presence(self) -> Mapping[str, bytes]:
        found = self._run(_PRESENCE, f"{self._prefix}:{{presence}}")
        return {as_name(key): value for key, value in zip(found[::2], found[1::2], strict=True)}

    def _lock(self, name: str) -> str:
        # Apart from the keys of queues, one of which may be called "lock:…"; all of one lock in one slot.
        return f"{self._prefix}:lock:{{lock:{name}}}"

    def _command(self, key: str, *parts: Part) -> Any:
        for _ in range(5):
            link = self._root.link(key)
            wire = link.ready()
            try:
                return link.command(*parts)
            except StoreError as error:
                if "MOVED" not in str(error):
                    raise
                link.moved(Refusal(str(error)[str(error).index("MOVED") :]))
        raise StoreError(f"{wire.where} sends us around in circles for {key}; is the cluster being moved?")
