"""What wakes a connector that waits."""

from __future__ import annotations

import os
import select
from typing import Any


class Bell:
    """What wakes one waiting connector; a pipe, so that it can be waited for together with other descriptors."""

    def __init__(self) -> None:
        self.fd, self._end = os.pipe()
        os.set_blocking(self.fd, False)
        os.set_blocking(self._end, False)

    def ring(self) -> None:
        try:
            os.write(self._end, b"!")
        except (BlockingIOError, OSError):
            pass  # it rings already, or nobody listens any more

    def hush(self) -> None:
        try:
            while os.read(self.fd, 4096):
                pass
        except BlockingIOError:
            pass

    def sleep(self, seconds: float, wake_fd: int | None) -> None:
        """Until it rings, `wake_fd` can be read from, or the seconds have passed."""
        poll: Any = select.poll()
        poll.register(self.fd, select.POLLIN)
        if wake_fd is not None:
            poll.register(wake_fd, select.POLLIN)
        poll.poll(0 if seconds <= 0 else min(int(seconds * 1000) + 1, 2**31 - 1))

    def close(self) -> None:
        os.close(self.fd)
        os.close(self._end)
