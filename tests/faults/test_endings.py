"""What ends a worker around the work: decoding, handlers, a respawn that comes back, an event loop that is ended."""

from __future__ import annotations

import pytest

from harness.odd import LARGE
from harness.site import Site
from regiment import Queue, Use

AT_ONCE = "recheck=0.2, poison_delays=(0,)"
DIES = """
def dies(*_):
    os._exit(12)

work.on({event!r})(dies)
"""


@pytest.mark.fault(18)
def test_a_handler_that_ends_its_worker_is_called_once_beyond_the_last_delivery(site: Site) -> None:
    """Struck once, judged twice, and then dead with no handler called."""
    site.app(
        f"max_deliveries=2, timeouts=Timeouts(0.3, grace=0.1), {AT_ONCE}",
        body=DIES.format(event="timeout"),
    )
    tree = site.tree()
    n = site.push("deaf")
    site.store.quiet(20)
    reason = site.store.dead()[n]
    assert reason["kind"] == "poison"
    assert reason["error"].startswith("ended its worker 3 times, the last time while its end was")
    assert len(site.books().starts[n]) == 1
    assert len(tree.events("worker.crashed")) == 3


@pytest.mark.fault(18)
@pytest.mark.parametrize("settings", ["max_deliveries=2", 'delivery="at_most_once"'])
def test_a_hook_of_dead_letters_that_ends_its_worker_ends_one_and_no_more(site: Site, settings: str) -> None:
    site.app(f"{settings}, {AT_ONCE}", body=DIES.format(event="dead"))
    tree = site.tree()
    n = site.push("crash", how="exit")
    site.store.quiet(20)
    runs = len(site.books().starts[n])
    assert runs == (2 if "max" in settings else 1)
    assert site.store.dead()[n]["kind"] == "poison"
    assert len(tree.events("worker.crashed")) == runs + 1


def odd(site: Site, **kwargs: object) -> None:
    """Push what is read in an odd way."""
    queue = Queue("work", connector=site.url, serializer=Use("harness.odd:Odd"))
    queue.options(name="nap").push(n=1, filler="x" * LARGE, **kwargs)
    queue.options(name="nap").push(n=2)
    queue.broker.close()


@pytest.mark.fault(18)
@pytest.mark.fault(56)
@pytest.mark.parametrize("how", ["hang", "crash"])
def test_a_message_whose_decoding_hangs_or_kills_is_dead_in_the_end_and_others_run(site: Site, how: str) -> None:
    site.app(f'serializer=Use("harness.odd:Odd"), max_deliveries=2, timeouts=Timeouts(0.3, grace=0.1), {AT_ONCE}')
    odd(site, odd=how)
    tree = site.tree(ready=False)
    site.ended(2, within=20)
    site.store.quiet(20)
    (letter,) = site.store.look.dead("work", 10)
    assert b'"poison"' in letter.reason
    assert (b"hard time limit" if how == "hang" else b"exit code 11") in letter.reason
    assert len(letter.payload) > LARGE, "it keeps its bytes"
    assert len(tree.events("worker.crashed")) == 3
    assert 1 not in site.books().starts


RESPAWNS = """
@work.task
def respawns(n):
    begin(n)
    raise Respawn

@work.task
def respawns_once(n):
    begin(n)
    if n not in seen():
        raise Respawn
    end(n)

def seen():
    with open(__file__ + ".seen", "a+") as file:
        file.seek(0)
        before = {int(line) for line in file}
        print(current().task.kwargs["n"], file=file)
    return before
"""


def test_a_respawn_that_comes_back_to_its_delivery_is_braked_like_a_crash(site: Site) -> None:
    site.app("max_deliveries=3, recheck=0.2, poison_delays=(0, 0.2)", body=RESPAWNS)
    tree = site.tree()
    once, ever = site.push("respawns_once"), site.push("respawns")
    mates = site.push_many([{}] * 5)
    site.ended(once, *mates, within=20)
    site.store.quiet(20)
    books, dead = site.books(), site.store.dead()
    assert [line.delivery for line in books.starts[once]] == [0, 0]
    assert [line.delivery for line in books.starts[ever]] == [0, 0, 1, 2]
    assert dead.keys() == {ever}
    assert dead[ever]["error"].endswith("asked for another process again, in that process")
    assert all(len(books.starts[n]) == 1 for n in mates)
    assert not tree.events("worker.crashed")


def test_a_respawn_in_the_handler_of_a_strike_is_obeyed_and_the_timeout_stands(site: Site) -> None:
    site.app(
        f"timeouts=Timeouts(0.3, grace=5), {AT_ONCE}",
        body="""
@work.task
def late(n):
    begin(n)
    time.sleep(60)

@work.on("timeout")
def respawn(task):
    raise Respawn
""",
    )
    tree = site.tree()
    n = site.push("late")
    site.store.quiet(10)
    other = site.push()
    site.ended(other)
    assert site.store.dead()[n]["kind"] == "timeout"
    assert len(site.books().starts[n]) == 1
    assert len(tree.events("worker.recycled")) == 1


LOOP = """
import asyncio

@work.task
async def good(n):
    begin(n)
    await asyncio.sleep(0.7)
    end(n)

@work.task
async def bad(n, how):
    begin(n)
    await asyncio.sleep(0.3)
    if how == "cancels all":
        for task in asyncio.all_tasks():
            task.cancel()
        await asyncio.sleep(0)
    if how == "cancels itself":
        asyncio.current_task().cancel()
        await asyncio.sleep(0)
    if how == "stops the loop":
        asyncio.get_running_loop().stop()
        raise ValueError(how)
"""


@pytest.mark.fault(18)
@pytest.mark.parametrize("how", ["cancels all", "cancels itself", "stops the loop"])
def test_whatever_a_coroutine_does_to_its_loop_its_neighbors_finish_and_it_alone_fails(site: Site, how: str) -> None:
    site.app(f"executor=Use('asyncio', concurrency=10), tasks_per_transaction=10, {AT_ONCE}", body=LOOP)
    tree = site.tree()
    numbers = [site.push("good") for _ in range(4)]
    bad = site.push("bad", how=how)
    site.ended(*numbers, within=20)
    site.store.quiet(10)
    books, dead = site.books(), site.store.dead()
    assert dead.keys() == {bad} and dead[bad]["kind"] == "failure"
    assert all(line.delivery == 0 for n in numbers for line in books.starts[n])
    assert not tree.events("worker.crashed")
    assert tree.stop() == 0


TAKES = """
@work.task
def gathers(n):
    begin(n)
    with current().take(10) as tasks:
        write("T", n, *(task.kwargs["n"] for task in tasks))
    end(n)

@work.on("dead")
def told(task, reason):
    write("D", task.kwargs["n"], reason["kind"])
"""


def test_a_take_of_at_most_once_hands_out_nothing_that_was_started_before_and_says_that_it_is_dead(
    site: Site,
) -> None:
    site.app('delivery="at_most_once", recheck=0.2', body=TAKES)
    from regiment.contracts import Terms
    from regiment_runner.worker.lease import Lease

    crashed, fresh = site.push(), site.push()
    lease = Lease(site.queue.broker.open("lease"), "work", Terms())
    lease.join()
    lease.turn = 1
    lease.exchange((), 2, True)
    note = b'{"kind": "crash", "reason": "killed by SIGSEGV"}'
    lease.connector.release("work", lease.consumer, (), {1: note}, close=True)
    lease.connector.close()
    n = site.push("gathers", options={"priority": "HIGH"})
    site.tree(ready=False)
    site.ended(n)
    site.store.quiet(5)
    words = [one for one in site.books().words if one[0] in "TD"]
    assert ["T", str(n), str(fresh)] in words
    assert ["D", str(crashed), "poison"] in words
    reason = site.store.dead()[crashed]
    assert reason["error"] == "ended its worker once: killed by SIGSEGV"
    assert reason["name"] == "nap"
