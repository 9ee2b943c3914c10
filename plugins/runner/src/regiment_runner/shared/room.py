"""Room in the memory of this host for what processes share: reserved when it is made, or said not to be there."""

from __future__ import annotations

import os
from pathlib import Path

from regiment.errors import RegimentError


class NoRoom(RegimentError, OSError):
    """The memory of a page cannot be reserved."""


def reserve(fd: int, path: Path, start: int, size: int) -> None:
    """Reserve memory of a page: where there is none, this says so, and no SIGBUS later."""
    try:
        os.posix_fallocate(fd, start, size)
    except OSError as error:
        raise NoRoom(
            f"the file system of {path.parent} has no room for a page of {size:,} bytes ({error.strerror}). Make it larger "
            f"(in a container: --shm-size), remove what others have left there, or set XDG_RUNTIME_DIR to another folder"
        ) from error
