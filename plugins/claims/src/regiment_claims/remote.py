"""Claims where fsspec leads: object storage (S3 and all that speak it), memory, and every other file system that it knows."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from typing import Any

from regiment.task import new_id
from regiment_claims.places import GRACE, MARKER, TEXT, Bucket, ends, later

WHOLE = frozenset(["s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "memory"])
"""Schemes of storage where a write is whole or not at all; elsewhere a file gets its name when it is written."""


class Remote:
    """A URL of fsspec. Each process has a connection of its own."""

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        self._url, self._options = url, dict(options)
        self._whole = url.partition("://")[0] in WHOLE
        self._opened: tuple[int, Any, str] = (0, None, "")
        self._made = False

    def put(self, digest: str, data: bytes, until: int) -> None:
        _, root = self._open()
        if not self._made:
            if self._size(f"{root}/{MARKER}") is None:
                self._write(root, MARKER, TEXT)
            self._made = True
        if self._size(f"{root}/{until}/{digest}") != len(data):
            self._write(f"{root}/{until}", digest, data)

    def blobs(self, digest: str, size: int, until: int) -> Iterator[bytes]:
        fs, root = self._open()
        for one in later(until, self._names):
            path = f"{root}/{one}/{digest}"
            if self._size(path) == size:
                with contextlib.suppress(FileNotFoundError):
                    yield bytes(fs.cat_file(path))

    def renew(self, digest: str, size: int, until: int, end: int) -> bool:
        fs, root = self._open()
        new = f"{root}/{end}/{digest}"
        if self._size(new) == size:
            return True
        for one in later(until, self._names):
            old = f"{root}/{one}/{digest}"
            if self._size(old) == size:
                if self._whole:
                    fs.cp_file(old, new)
                else:
                    self._write(f"{root}/{end}", digest, fs.cat_file(old))
                return True
        return False

    def there(self) -> bool:
        return self._size(f"{self._open()[1]}/{MARKER}") is not None

    def sweep(self, now: float) -> list[Bucket]:
        fs, root = self._open()
        over = [one for one in self.buckets() if one.until + GRACE < now]
        for one in over:
            with contextlib.suppress(FileNotFoundError):
                fs.rm(f"{root}/{one.until}", recursive=True)
        return over

    def buckets(self) -> list[Bucket]:
        fs, root = self._open()
        found = []
        for end in ends(self._names()):
            with contextlib.suppress(FileNotFoundError):
                sizes = [one["size"] for one in fs.ls(f"{root}/{end}", detail=True) if one["type"] == "file"]
                found.append(Bucket(end, len(sizes), sum(sizes)))
        return found

    def _names(self) -> list[str]:
        fs, root = self._open()
        try:
            return [os.path.basename(path.rstrip("/")) for path in fs.ls(root, detail=False)]
        except FileNotFoundError:
            return []

    def _open(self) -> tuple[Any, str]:
        """The file system of this process, and the path in it. A child of a fork opens its own."""
        pid, fs, root = self._opened
        if pid != os.getpid():
            from fsspec.core import url_to_fs

            found, path = url_to_fs(self._url, **{"use_listings_cache": False, **self._options})
            fs, root = found, path.rstrip("/")
            self._opened = os.getpid(), fs, root
        return fs, root

    def _size(self, path: str) -> int | None:
        """Bytes of a file; None if there is none."""
        try:
            found = self._open()[0].info(path)
        except FileNotFoundError:
            return None
        return int(found["size"]) if found["type"] == "file" else None

    def _write(self, folder: str, name: str, data: bytes) -> None:
        fs, _ = self._open()
        if self._whole:
            fs.pipe_file(f"{folder}/{name}", data)
            return
        part = f"{folder}/.{new_id()}.part"
        fs.makedirs(folder, exist_ok=True)
        try:
            fs.pipe_file(part, data)
            fs.mv(part, f"{folder}/{name}")
        except BaseException:
            with contextlib.suppress(Exception):
                fs.rm_file(part)
            raise
