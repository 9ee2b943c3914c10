"""Claims as records of the store, beside the queue: they end by the store's own clock, and nothing is to be swept."""

from __future__ import annotations

import time
from collections.abc import Iterator

from regiment.broker import Broker, effective
from regiment.contracts import Keep, Record
from regiment.task import new_id
from regiment_claims.places import Bucket

_WHAT = 'Claims("store") needs'


class Beside:
    """The store of a queue. Equal contents are one record, which lives as long as the last of those that claim it."""

    def __init__(self, broker: Broker, queue: str) -> None:
        self._broker, self._queue = broker, queue

    def put(self, digest: str, data: bytes, until: int) -> None:
        # The rank is the end: what is to live longer is not cut short by what comes after it.
        keep = Keep(f"c:{digest}", data, max(1.0, until - time.time()), until)
        with self._broker.connector() as connector:
            effective(connector, _WHAT).apply(self._queue, [keep], token=new_id())

    def blobs(self, digest: str, size: int, until: int) -> Iterator[bytes]:
        with self._broker.connector() as connector:
            record: Record | None = effective(connector, _WHAT).records(self._queue, [f"c:{digest}"])[0]
        if record is not None and len(record.value) == size:
            yield record.value

    def renew(self, digest: str, size: int, until: int, end: int) -> bool:
        found = next(self.blobs(digest, size, until), None)
        if found is not None:
            self.put(digest, found, end)
        return found is not None

    def there(self) -> bool:
        return True

    def sweep(self, now: float) -> list[Bucket]:
        return []

    def buckets(self) -> list[Bucket]:
        return []
