"""regiment: a rate and `at_once` of pools, a lane for each tenant."""

import limited

from regiment import Queue
from regiment_limits import Limits, Pool

POOLS = {"rated": Pool(rate=f"{limited.RATE}/s"), "slot": Pool(at_once=limited.SLOTS), "tenant": Pool()}
work = Queue("limits", connector=limited.STORE, plugins=[Limits(pools=POOLS)], number_of_threads=5)


@work.task(pool="{what}", lane="{tenant}")
def run(what: str, number: int, seconds: float, tenant: str) -> None:
    limited.run(what, number, seconds, tenant)


if __name__ == "__main__":
    from limits_regiment import run as task

    limited.main(task.push)
