"""Where the database file lies, and whether it may lie there."""

from __future__ import annotations

import ctypes
import os
import stat
import sys
from urllib.parse import unquote

from regiment.errors import ConfigError, StoreError

NETWORK = {
    0x6969: "NFS",
    0xFF534D42: "CIFS",
    0xFE534D42: "SMB",
    0x517B: "SMB",
    0x65735546: "FUSE",
    0x01021997: "9p",
    0x00C36400: "Ceph",
    0x0BD00BD0: "Lustre",
    0x5346414F: "AFS",
    0x73757245: "Coda",
    0x7461636F: "OCFS2",
    0x47504653: "GPFS",
    0x01161970: "GFS2",
    0x786F4256: "vboxsf",
}
"""File systems (statfs f_type) where the locks or the shared memory of SQLite's WAL do not hold between machines."""


def path_of(url: str) -> str | None:
    """The path in an `sqlite:` URL, None for the default one. Raises `ConfigError`."""
    scheme = url.partition(":")[0]
    if scheme != "sqlite":  # the rest may be another store's address, with its password
        raise ConfigError(
            f'the URL of the local connector begins with "{scheme[:20]}"; expected "sqlite:////absolute/path.db"'
        )
    rest = url.removeprefix("sqlite:")
    if rest in ("", "//", "///"):
        return None
    if not rest.startswith("///") or "?" in rest:
        meant = "" if rest.startswith("//") or "?" in rest else f' Did you mean "sqlite:///{rest}"?'
        raise ConfigError(
            f'the URL of the local connector begins with "sqlite:{rest[:3]}"; expected "sqlite:////absolute/path.db" '
            f'or "sqlite:///relative/path.db".{meant}'
        )
    path = unquote(rest[3:])
    problem = problem_of_path(path)
    if problem:
        raise ConfigError(problem)
    return path


def problem_of_path(path: str) -> str | None:
    """What is wrong with the path of a database file, or None."""
    if path == ":memory:":
        return (
            'the path is ":memory:", which is no file: other processes would see nothing of it. For tests there is '
            'connector="memory:"; else name a file'
        )
    if not path or "\0" in path:
        return f"path is {path!r}; expected the path of the database file, or None for .regiment/queue.db"
    return None


FOLDER = ".regiment"
"""The folder that is made for the default file; what lies in one was found, not named."""

LOG_LIVES = (
    ", none with kill -9, and start nothing before all have ended: the last to close writes what was in its log into the file, "
    "and what was queued is there again"
)
"""What helps where the write-ahead log was removed: whoever has it open still has what was in it."""

_BESIDE = ("", "-wal", "-shm", "-journal", "-wake")
"""What SQLite and we add to the file's name; each of them is believed as much as the file is."""


def full_path(url: str | None, path: str | None, start: str | None = None) -> str:
    """Where the file lies that `url` or `path` names: what is relative, or not named at all, is meant from `start`."""
    named = path if path is not None else path_of(url) if url is not None else None
    if not named:
        return default_path(start)
    return os.path.abspath(os.path.join(start or os.getcwd(), os.path.expanduser(named)))


def default_path(start: str | None = None) -> str:
    """`.regiment/queue.db` in the nearest folder above that has a `pyproject.toml`, else in the one to start from.

    The search ends at what another user could have put there: a folder or a `pyproject.toml` that is neither mine nor
    root's, or that every user may write.
    """
    here = folder = start or os.getcwd()
    while _trusted(folder):
        project = os.path.join(folder, "pyproject.toml")
        if os.path.exists(project) and _trusted(project):
            return os.path.join(folder, FOLDER, "queue.db")
        above = os.path.dirname(folder)
        if above == folder:
            break
        folder = above
    return os.path.join(here, FOLDER, "queue.db")


def _trusted(path: str) -> bool:
    """True if only this user and root can have made it what it is."""
    try:
        status = os.stat(path)
    except OSError:
        return False
    return status.st_uid in (os.geteuid(), 0) and not status.st_mode & stat.S_IWOTH


def refuse_strangers(path: str) -> None:
    """Raises `StoreError` if the store at `path` is another user's, or if every user may write it.

    Whoever writes a store can run tasks. A file of another user that is named, not found, and shared through a group is
    shared on purpose.
    """
    folder, name = os.path.split(path)
    found = os.path.basename(folder) == FOLDER
    if found:
        _refuse_stranger(folder, path, found)
    for suffix in _BESIDE:
        _refuse_stranger(os.path.join(folder, name + suffix), path, found)


def _refuse_stranger(place: str, store: str, found: bool) -> None:
    try:
        status, mine = os.stat(place), os.geteuid()
        if found:  # a link is whose it is, wherever it leads
            owner = os.lstat(place).st_uid
            owner = status.st_uid if owner in (mine, 0) else owner
        else:
            owner = status.st_uid
    except OSError:
        return  # it is made by us, or opening it says what is wrong
    if status.st_mode & stat.S_IWOTH:
        raise StoreError(
            f"{place} can be written by every user of this host, and who writes a store can run tasks. Expected it to be "
            f"its owner's alone. If only you have used it: chmod o-w {place}"
        )
    shared = not found and status.st_mode & (stat.S_IRGRP | stat.S_IWGRP) and status.st_gid in _groups()
    if owner not in (mine, 0) and not shared:
        raise StoreError(
            f"{place} belongs to user {_user(owner)}, and this process runs as {_user(mine)}: who owns a store can run tasks. "
            f"Run this as its owner, or use a store of your own: "
            f'connector="sqlite:////absolute/path.db" or REGIMENT_CONNECTOR'
        )


def _groups() -> set[int]:
    return {os.getegid(), *os.getgroups()}


def _user(uid: int) -> str:
    import pwd

    try:
        return f"{pwd.getpwuid(uid).pw_name} ({uid})"
    except KeyError:
        return str(uid)


def refuse_folder(path: str) -> None:
    """`StoreError` where the path of the file is a folder's."""
    if os.path.isdir(path):
        raise StoreError(
            f"{path} is a folder; expected the path of a file, such as sqlite:///{path.rstrip('/')}/queue.db"
        )


def make_folder(path: str) -> None:
    """Make the folder of the file, for its owner alone and ignored by git, if it is absent.

    Raises `StoreError` where the folder above it is absent as well: a path with a slip in it would be another, empty store.
    """
    folder = os.path.dirname(path)
    if os.path.isdir(folder):
        return
    refuse_distance(path)
    try:
        os.mkdir(folder, 0o700)
        with open(os.path.join(folder, ".gitignore"), "w", encoding="ascii") as ignore:
            ignore.write("*\n")
    except FileExistsError:
        return  # another process was quicker
    except OSError as error:
        raise StoreError(
            f"cannot make the folder {folder} for the queue: {error.strerror}. Name another path: "
            f'connector="sqlite:////absolute/path.db"'
        ) from error


def refuse_distance(path: str) -> None:
    """Raises `StoreError` where the folder of the file and the one above it are absent: nobody would make them."""
    folder = os.path.dirname(path)
    above = near = os.path.dirname(folder)
    while not os.path.exists(near):
        near = os.path.dirname(near)
    if near != above and not os.path.isdir(folder):
        raise StoreError(
            f"the folder of {path} does not exist, nor does {above}: only {near} does, and nothing was made. Correct the path, "
            f"or make the folder: mkdir -p {folder}"
        )


def make_file(path: str) -> None:
    """Make the file, readable by its owner alone, if it is absent. Raises `StoreError`.

    A file that is there is not opened: closing it again would drop every lock that SQLite has on it in this process.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        pass
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}") from error


def file_system(folder: str) -> int:
    """The type of the file system (statfs f_type) that holds `folder`; 0 where that cannot be asked."""
    if sys.platform != "linux":
        return 0
    answer = ctypes.create_string_buffer(256)
    if ctypes.CDLL(None, use_errno=True).statfs(os.fsencode(folder), answer) != 0:
        return 0
    return ctypes.c_long.from_buffer(answer).value & 0xFFFFFFFF


class OnNetwork(StoreError):
    """The file would lie where its locks do not hold."""

    rule = "L01"
    """The rule of `regiment doctor` that says so."""


def refuse_network(folder: str) -> None:
    """Raises `OnNetwork` if the folder is on a file system that several machines may share."""
    name = NETWORK.get(file_system(folder))
    if name is not None:
        raise OnNetwork(
            f"{folder} is on a {name} file system, where SQLite's locks do not hold and tasks would be lost. "
            f"Use a path on a local disk, or a server: redis://…, mongodb://…"
        )


def identity(path: str) -> tuple[int, int]:
    """Device and inode: whether a file of this name is still the same file."""
    status = os.stat(path)
    return status.st_dev, status.st_ino


def boot_id() -> str:
    """What tells this boot of the machine from every other."""
    try:
        with open("/proc/sys/kernel/random/boot_id", "rb") as file:
            return file.read().decode("ascii", "replace").strip()
    except OSError:
        return ""
