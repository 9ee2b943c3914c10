"""What SQLite says, as errors of ours: each tells what to do."""

from __future__ import annotations

import sqlite3

from regiment.errors import QueueFull, StoreError, StoreUnavailable
from regiment_local.files import LOG_LIVES


def busy(error: sqlite3.Error) -> bool:
    """True if another connection holds a lock that this one needs."""
    return getattr(error, "sqlite_errorname", "").startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))


def full(error: sqlite3.Error) -> bool:
    """True if there is no room on the disk."""
    return getattr(error, "sqlite_errorname", "") == "SQLITE_FULL"


def in_words(path: str, error: sqlite3.Error, verb: str, *, waited: float, committing: bool = False) -> StoreError:
    """The error to raise for what happened to `verb`, which waits up to `waited` seconds for a lock."""
    name = getattr(error, "sqlite_errorname", "") or type(error).__name__
    said = f"{path}: {error} ({name})"
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return StoreUnavailable(
            f"{path}: another process has held the write lock for {waited:g} s; tried until then. "
            f"Is a process stopped, or a backup or a shell in a transaction?"
        )
    if name == "SQLITE_FULL":
        text = f"{path}: no room on the disk; make room, what is queued is safe ({error})"
        return QueueFull(text) if verb in ("_push", "_apply") else StoreUnavailable(text, maybe_pushed=False)
    if name.startswith("SQLITE_IOERR"):
        return StoreUnavailable(
            f"{said}: the disk reported an error; look at the kernel's log",
            maybe_pushed=committing,
        )
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH")):
        return StoreError(f"{said}: the file and its folder must be writable for this user")
    if name in ("SQLITE_NOTADB", "SQLITE_CORRUPT") or name.startswith("SQLITE_CORRUPT"):
        return StoreError(f"{said}: the file is damaged or no database; restore it or name another path")
    return StoreError(said)


def replaced(path: str, what: str) -> StoreError:
    """The error for a file that is not the one any more that was opened."""
    return StoreError(
        f"{path} was deleted or replaced while it was in use ({what}); nothing more is written to it. "
        f"Stop all workers and producers{LOG_LIVES if '-wal' in what else ''}, then start them again"
    )


def unseen(path: str, error: OSError) -> StoreError:
    """The error for a file that cannot be looked at any more: it is gone, or this user may not."""
    if isinstance(error, PermissionError):
        return StoreError(
            f"{error.filename or path}: {error.strerror}; the file and its folder must be writable for this user. Somebody has "
            f"changed their rights, or their owner, since this process opened them"
        )
    return replaced(path, f"{error.filename}: {error.strerror}")


def inner(path: str) -> StoreError:
    """The error for a push that begins while this thread is in the middle of another."""
    return StoreError(
        f"{path}: a push inside of a push, by a signal handler or a __del__ that came in its middle; "
        "nothing was pushed. Note it in the handler, and push when it has returned"
    )
