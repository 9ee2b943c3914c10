"""What a worker can write on its page is not believed: a page that makes no sense is that worker's crash."""

from __future__ import annotations

import signal

from regiment_runner.shared import process
from regiment_runner.supervisor.members import Child


def believable(item: Child) -> bool:
    """True if the page of a worker makes sense. Else the worker is killed, and what it held comes back when its lease ends,
    as that of a lost host does: nobody can know what it ran.
    """
    why = item.page.damage()
    if why is None:
        return True
    if item.fatal is None:
        reason = f"its page is damaged ({why}): something in it writes where it should not"
        item.fatal = {"kind": "crash", "reason": reason}
        process.send(item.pidfd, signal.SIGKILL)
    return False
