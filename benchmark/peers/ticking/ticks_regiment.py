"""regiment: two `regiment run`."""

from noted import STORE, note

from regiment import Queue
from regiment_schedules import schedule, tick

work = Queue("ticks", connector=STORE)


@work.task(schedules=[schedule(every=1.0, name="tick")])
def ran() -> None:
    due = tick()
    note(None if due is None else due.timestamp())
