"""What a scheduled task does, the same for every system: a line with its tick, where that is known, and the time."""

import os
import time

STORE = os.environ.get("TICKS_STORE", "")
_OUT = os.open(os.environ["TICKS_OUT"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def note(tick: float | None = None) -> None:
    now = time.time()
    os.write(_OUT, f"{now if tick is None else tick:.3f} {now:.3f}\n".encode())
