"""A lock and the store's keys: many workers book the seats of one hall, and none is sold twice.

    python examples/seats.py

Three workers sell twelve seats to twenty visitors. Without the lock two of them would sooner or later read the same
number of free seats. The lock has an owner and a time to live: if its holder dies, it is free again by itself.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from regiment import Task, Worker, WorkerConfig
from regiment_runner import Supervisor

SEATS = 12


class Seats(Worker):
    config = WorkerConfig("seats", tasks_per_transaction=5)

    def work(self, task: Task) -> None:
        visitor = task.kwargs["visitor"]
        with self.lock("hall"):
            free = int(self.get_key("hall.free") or SEATS)
            if free == 0:
                print(f"visitor {visitor}: sold out", flush=True)
                return
            time.sleep(0.01)  # between reading and writing: here the others would slip in
            self.set_key("hall.free", b"%d" % (free - 1))
        print(f"visitor {visitor}: seat {free}", flush=True)


if __name__ == "__main__":
    Seats().delete_key("hall.free")  # of an earlier run
    Seats.push_many({"visitor": number} for number in range(1, 21))
    here = str(Path(__file__).parent)
    sys.exit(Supervisor("seats", workers=3, burst=True, app_dir=here).run())
