"""Runs a supervisor, as `run_tree.py` does, to which the system refuses something: at the k-th start of a worker (or a
keeper) the k-th call that this start makes fails once, until a start makes fewer calls than that.

The folder `refusals` beside the application gets one file for each refusal, `NUMBER,CALL,ERROR`, and `all` at the end.
"""

from __future__ import annotations

import errno
import mmap
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness import run_tree
from regiment_runner.supervisor.keeping import Keeping
from regiment_runner.supervisor.nursery import Nursery

CALLS: dict[str, tuple[Any, int]] = {
    "eventfd": (os, errno.EMFILE),
    "open": (os, errno.ENFILE),
    "ftruncate": (os, errno.ENOSPC),
    "posix_fallocate": (os, errno.ENOSPC),
    "mmap": (mmap, errno.ENOMEM),
    "socketpair": (socket, errno.EMFILE),
    "pidfd_open": (os, errno.EMFILE),
    "fork": (os, errno.EAGAIN),
}
"""Call -> where it lives, and an error that it may have when something is used up."""


class Refusing:
    """Counts the calls of one start and refuses one of them."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._wanted, self._left, self._me = folder, 0, -1, os.getpid()
        folder.mkdir()
        self._real = {name: getattr(place, name) for name, (place, _) in CALLS.items()}
        for name, (place, _) in CALLS.items():
            if name != "mmap":  # a class that others derive from
                setattr(place, name, self._instead(name))
        import regiment_runner.shared.page

        regiment_runner.shared.page.mmap = self  # type: ignore[attr-defined]

    def __getattr__(self, name: str) -> Any:
        return self._instead("mmap") if name == "mmap" else getattr(mmap, name)

    def _instead(self, name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self._count(name)
            return self._real[name](*args, **kwargs)

        return call

    def _count(self, name: str) -> None:
        if self._left < 0 or os.getpid() != self._me:
            return
        self._left -= 1
        if self._left < 0:
            number = CALLS[name][1]
            self._note(f"{self._wanted:02d},{name},{errno.errorcode[number]}")
            raise OSError(number, os.strerror(number))

    def _note(self, name: str) -> None:
        (self._folder / name).write_text("")

    def starts(self, start: Callable[..., None]) -> Callable[..., None]:
        """A start of which the next call is refused; the first of all, and the one after a refusal, are let alone."""
        alone = [True]

        def refused(*args: Any) -> None:
            if alone or self._wanted < 0:
                alone.clear()
                return start(*args)
            self._left = self._wanted
            start(*args)
            if self._left >= 0:  # it made fewer calls
                self._wanted, self._left = -1, -1
                self._note("all")
            else:
                self._wanted += 1
                alone.append(True)
            return None

        return refused


if __name__ == "__main__":
    refusing = Refusing(Path("refusals"))
    if os.environ["REFUSED"] == "worker":
        Nursery._start = refusing.starts(Nursery._start)  # type: ignore[method-assign]
    else:
        Keeping.start = refusing.starts(Keeping.start)  # type: ignore[method-assign]
    sys.exit(run_tree.main(sys.argv[1]))
