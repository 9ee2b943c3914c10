"""Where pages live: a private folder of this user, in it one folder for each tree. All readers and writers pass here.

The folder lies where other users may write, too (/dev/shm), so nothing in it is believed for its name: a folder must be
this user's alone and no link, and a tree's folder bears a mark, a file that its supervisor holds locked as long as it lives.
A pid alone is no identity: containers share /dev/shm and have pids of their own. Only `os` and `fcntl` are imported.
"""

from __future__ import annotations

import fcntl
import os
import stat

from regiment_runner.shared import procfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

MARK = "regiment.tree"
"""Name of the mark in a tree's folder."""

ROSTER = "tree.json"
"""Name of the roster in a tree's folder: what its supervisor says of its targets and workers."""

_WORDS = b"The folder of a regiment tree; its supervisor holds this file locked while it lives.\n"

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

_held: dict[str, int] = {}
"""Folder -> descriptor of its locked mark, of the trees of this process."""


_ADVICE = "Set XDG_RUNTIME_DIR to a folder of yours (mode 700)"


class Unsafe(PermissionError):
    """The folder of the trees may not be used; the text says why, and what to do."""


def home() -> str:
    """The folder of all trees of this user: under XDG_RUNTIME_DIR, else a private one in /dev/shm.

    An XDG_RUNTIME_DIR of another user (`su` and `sudo` leave it as it was) is passed over.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and _usable(runtime):
        return f"{os.path.abspath(runtime)}/regiment"
    shm = "/dev/shm" if os.path.isdir("/dev/shm") else os.environ.get("TMPDIR", "/tmp")
    return f"{shm}/regiment-{os.geteuid()}"


def _usable(folder: str) -> bool:
    """True if no other user can change what lies in it under our names."""
    try:
        found = os.stat(folder)
    except OSError:
        return False
    closed = not found.st_mode & 0o022 or found.st_mode & stat.S_ISVTX
    return bool(
        stat.S_ISDIR(found.st_mode)
        and found.st_uid in (os.geteuid(), 0)
        and closed
        and os.access(folder, os.W_OK | os.X_OK)
    )


def open_home(*, make: bool = False) -> tuple[str, int]:
    """Path and descriptor of `home`; FileNotFoundError if it is absent and not to be made, `Unsafe` if it is not ours."""
    path = home()
    if make:
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            pass
    try:
        fd = os.open(path, _FOLDER)
    except FileNotFoundError:
        raise
    except OSError as error:
        what = "a link" if os.path.islink(path) else f"not to be used ({error.strerror})"
        raise Unsafe(f"{path} is {what}; expected a folder of this user alone. {_ADVICE}") from None
    found = os.fstat(fd)
    if found.st_uid != os.geteuid():
        os.close(fd)
        raise Unsafe(f"{path} belongs to user {found.st_uid}, and this process runs as {os.geteuid()}. {_ADVICE}")
    if found.st_mode & 0o077:
        os.close(fd)
        raise Unsafe(
            f"{path} has mode {found.st_mode & 0o7777:o}; expected 700. If only you have put files there: chmod 700 {path}"
        )
    return path, fd


def make_tree() -> str:
    """A new folder for the tree of this process, marked and locked; removes those whose supervisor is gone."""
    path, fd = open_home(make=True)
    try:
        for name in _marked(fd):
            if not _locked(fd, name):
                _remove(fd, name)
        name = f"{os.getpid()}-{procfs.start_ticks(os.getpid())}-{procfs.pid_namespace()}"
        _make(path, fd, name)
    finally:
        os.close(fd)
    return f"{path}/{name}"


def have_tree(tree: str) -> bool:
    """Make the folder of a tree of this process again if something outside has removed it or its mark; True if so."""
    held = _held.get(tree)
    try:
        if held is not None and os.path.samestat(os.fstat(held), os.lstat(f"{tree}/{MARK}")):
            return False
    except OSError:
        pass
    path, fd = open_home(make=True)
    try:
        _forget(tree)
        _make(path, fd, os.path.basename(tree))
    finally:
        os.close(fd)
    return True


def _make(path: str, fd: int, name: str) -> None:
    """Make the folder, if it is absent, and its mark, which bears that name only when it is locked."""
    try:
        os.mkdir(name, 0o700, dir_fd=fd)
    except FileExistsError:
        pass
    folder = os.open(name, _FOLDER, dir_fd=fd)
    try:
        part = f"{MARK}.part"
        mark = os.open(part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder)
        _held[f"{path}/{name}"] = mark
        fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.write(mark, _WORDS)
        os.rename(part, MARK, src_dir_fd=folder, dst_dir_fd=folder)
    finally:
        os.close(folder)


def remove_tree(tree: str) -> None:
    """Delete the folder of a tree of this process; what is gone already does not matter."""
    try:
        _, fd = open_home()
    except OSError:
        return
    try:
        name = os.path.basename(tree)
        if tree in _held or (name in _marked(fd) and not _locked(fd, name)):
            _remove(fd, name)
    finally:
        os.close(fd)
        _forget(tree)


def trees() -> list[str]:
    """Folders of the trees of this user whose supervisor lives and is seen from here: in this PID namespace."""
    path, fd = open_home()
    try:
        here = str(procfs.pid_namespace())
        return [f"{path}/{name}" for name in _marked(fd) if name.rpartition("-")[2] == here and _locked(fd, name)]
    finally:
        os.close(fd)


def _marked(fd: int) -> Iterator[str]:
    """Names of folders that are this user's, no links, and bear our mark."""
    for name in sorted(os.listdir(fd)):
        pid, _, rest = name.partition("-")
        if pid.isdigit() and rest:
            try:
                folder = os.stat(name, dir_fd=fd, follow_symlinks=False)
                mark = os.stat(f"{name}/{MARK}", dir_fd=fd, follow_symlinks=False)
            except OSError:
                continue
            mine = folder.st_uid == mark.st_uid == os.geteuid()
            if mine and stat.S_ISDIR(folder.st_mode) and stat.S_ISREG(mark.st_mode):
                yield name


def _locked(fd: int, name: str) -> bool:
    """True if the supervisor of the tree lives: it holds its mark locked."""
    try:
        mark = os.open(f"{name}/{MARK}", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
    except OSError:
        return False
    try:
        fcntl.flock(mark, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(mark)
    return False


def _remove(fd: int, name: str) -> None:
    """Delete a tree's folder and the files in it; its mark goes last, so that a removal that is cut off can be repeated."""
    try:
        folder = os.open(name, _FOLDER, dir_fd=fd)
    except OSError:
        return
    try:
        for one in sorted(os.listdir(folder), key=lambda one: one == MARK):
            try:
                os.unlink(one, dir_fd=folder)
            except FileNotFoundError:
                continue
        os.rmdir(name, dir_fd=fd)
    except OSError:
        pass  # there is a folder in it, which is none of ours
    finally:
        os.close(folder)


def _forget(tree: str) -> None:
    held = _held.pop(tree, None)
    if held is not None:
        os.close(held)


def _leave_to_the_parent() -> None:
    """In a forked child: a lock is held by all who have inherited it, and only the supervisor's life is to be told."""
    for tree in list(_held):
        _forget(tree)


os.register_at_fork(after_in_child=_leave_to_the_parent)
