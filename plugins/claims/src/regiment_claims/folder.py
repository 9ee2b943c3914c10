"""Claims as files of a folder: FOLDER/END/DIGEST. Written whole or not at all, readable by their user alone; no link is followed.

All that lies below the folder is opened relative to it, name by name (`openat`, `O_NOFOLLOW`).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from regiment.task import new_id
from regiment_claims.places import GRACE, MARKER, TEXT, Bucket, ends, later

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OVER = ".over"
"""What the name of a bucket ends with while it is removed."""


class Folder:
    """A folder on a file system that producers and workers share."""

    def __init__(self, path: str) -> None:
        self._path, self._made = path, False

    def put(self, digest: str, data: bytes, until: int) -> None:
        with self._root(make=True) as root, _bucket(root, until, make=True) as bucket:
            assert bucket is not None
            if _size(bucket, digest) != len(data):
                _write(bucket, digest, data)
            os.fsync(
                bucket
            )  # also where another process has just written it: its name is to be on disk before our task is

    def blobs(self, digest: str, size: int, until: int) -> Iterator[bytes]:
        with self._root() as root:
            for one in later(until, partial(os.listdir, root)):
                with _bucket(root, one) as bucket:
                    found = None if bucket is None else _read(bucket, digest, size)
                if found is not None:
                    yield found

    def renew(self, digest: str, size: int, until: int, end: int) -> bool:
        with self._root() as root, _bucket(root, end, make=True) as new:
            if _size(new, digest) == size:
                return True
            for one in later(until, partial(os.listdir, root)):
                with _bucket(root, one) as old:
                    if old is None or old == new or _size(old, digest) != size:
                        continue
                    # A second name of the same bytes: nothing is copied.
                    with contextlib.suppress(FileExistsError):
                        os.link(digest, digest, src_dir_fd=old, dst_dir_fd=new, follow_symlinks=False)
                    os.fsync(new)  # type: ignore[arg-type]
                    return True
        return False

    def there(self) -> bool:
        try:
            with self._root() as root:
                return _size(root, MARKER) is not None
        except FileNotFoundError:
            return False

    def sweep(self, now: float) -> list[Bucket]:
        self._remove()  # what a sweep that was killed has left: it would stand in the way of its bucket's second end
        over = [one for one in self.buckets() if one.until + GRACE < now]
        with contextlib.ExitStack() as stack:
            if over:
                root = stack.enter_context(self._root())
            for one in over:
                # Renamed first, so that nobody finds half of it; who reads has his file open.
                with contextlib.suppress(FileNotFoundError):
                    os.rename(str(one.until), f"{one.until}{_OVER}", src_dir_fd=root, dst_dir_fd=root)
        self._remove()
        return over

    def buckets(self) -> list[Bucket]:
        found = []
        for end in ends(self._names()):
            with contextlib.suppress(FileNotFoundError), self._root() as root, _bucket(root, end) as bucket:
                if bucket is None:  # a file or a link that has such a name is none, and keeps nobody from the others
                    continue
                with os.scandir(bucket) as entries:
                    sizes = [one.stat(follow_symlinks=False).st_size for one in entries]
                found.append(Bucket(end, len(sizes), sum(sizes)))
        return found

    def _remove(self) -> None:
        """Remove the buckets that were renamed, as nobody reads them."""
        for name in self._names():
            if name.endswith(_OVER) and ends([name.removesuffix(_OVER)]):
                shutil.rmtree(os.path.join(self._path, name), ignore_errors=True)

    def _names(self) -> list[str]:
        try:
            return os.listdir(self._path)
        except FileNotFoundError:
            return []

    @contextmanager
    def _root(self, make: bool = False) -> Iterator[int]:
        if make and not self._made:
            os.makedirs(self._path, mode=0o700, exist_ok=True)
        root = os.open(self._path, _FOLDER)
        try:
            if make and not self._made:
                if _size(root, MARKER) is None:
                    _write(root, MARKER, TEXT)
                self._made = True
            elif make and _size(root, MARKER) is None:
                raise FileNotFoundError(f"{MARKER} is not there any more: is the folder still mounted?")
            yield root
        finally:
            os.close(root)


@contextmanager
def _bucket(root: int, until: int, make: bool = False) -> Iterator[int | None]:
    """The folder of a bucket, opened; None if there is none."""
    name = str(until)
    if make:
        try:
            os.mkdir(name, 0o700, dir_fd=root)
            os.fsync(root)
        except FileExistsError:
            pass
    try:
        opened = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=root)
    except (FileNotFoundError, NotADirectoryError):
        if make:
            raise
        yield None
        return
    try:
        yield opened
    finally:
        os.close(opened)


def _size(folder: int | None, name: str) -> int | None:
    """Bytes of a file; None if there is no such file (a link is none)."""
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def _read(folder: int, name: str, size: int) -> bytes | None:
    """The bytes of a file of this size; None if there is none. It is looked at before a byte is read."""
    if _size(folder, name) != size:
        return None
    try:
        opened = os.open(name, _READ, dir_fd=folder)
    except FileNotFoundError:
        return None
    with open(opened, "rb") as file:
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            return None
        return file.read(size)


def _write(folder: int, name: str, data: bytes) -> None:
    """A file, on disk before it has its name; the last one of several that write the same takes the name."""
    part = f".{new_id()}.part"
    try:
        with open(os.open(part, _WRITE, 0o600, dir_fd=folder), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.rename(part, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(part, dir_fd=folder)
        raise
