"""Journeys of one delivery through a real tree: each way to end, the handler that hears of it, and what is left."""

from __future__ import annotations

from harness.site import Site

ENDINGS = """
@work.task
def ends(n, how):
    begin(n)
    task = current().task
    if how == "fail": raise Fail(reason="no such customer")
    if how == "raise": raise ValueError(f"run {task.run_count + 1}")
    if how == "retry": raise Retry(delay=0.05)
    if how == "requeue" and not os.path.exists(f"{LEDGER_NAME}.{n}"):
        open(f"{LEDGER_NAME}.{n}", "w").close()
        raise Requeue(delay=0.05)
    if how == "wrapped": raise BaseExceptionGroup("tasks", [Fail(reason="one alone is unwrapped")])
    if how == "swallowed":
        try:
            raise Retry(delay=0.05)
        except Exception:
            pass
    end(n)

@work.task
def leaves(n, how):
    begin(n)
    marker = f"{LEDGER_NAME}.{n}"
    if not os.path.exists(marker):
        open(marker, "w").close()
        raise Respawn(done=how == "done")
    end(n)

@work.task
def ends_all(n, done):
    begin(n)
    end(n)
    raise Stop(done=done)
"""


def endings(site: Site) -> str:
    return f"LEDGER_NAME = {str(site.ledger)!r}\n{ENDINGS}"


def test_each_ending_is_heard_by_its_handler_once_and_leaves_what_the_table_says(
    site: Site,
) -> None:
    site.app(
        "max_retries=2, backoff=Backoff(first=0.05, jitter=False), recheck=0.2, tasks_per_transaction=5",
        hooks=True,
        body=endings(site),
    )
    ways = ("none", "fail", "raise", "retry", "requeue", "wrapped", "swallowed")
    numbers = {how: site.push("ends", how=how) for how in ways}
    site.tree(workers=2)
    site.store.quiet(20)
    books, dead = site.books(), site.store.dead()
    told = {how: [one.outcome for one in books.told[n]] for how, n in numbers.items()}
    gave_up = ["max_retries", "dead"]
    assert told == {
        "none": ["success"],
        "fail": ["failure", "dead"],
        "raise": ["failure"] * 3 + gave_up,
        "retry": ["retry"] * 3 + gave_up,
        "requeue": ["requeue", "success"],
        "wrapped": ["failure", "dead"],
        "swallowed": ["retry"] * 3 + gave_up,
    }
    assert set(dead) == {numbers[how] for how in ("fail", "raise", "retry", "wrapped", "swallowed")}
    assert dead[numbers["fail"]]["error"] == "no such customer"
    assert dead[numbers["raise"]]["error"] == "run 3"
    assert dead[numbers["raise"]]["runs"] == 3
    assert "ValueError" in dead[numbers["raise"]]["traceback"]


def test_a_task_that_asks_for_another_process_comes_back_in_front_in_one(site: Site) -> None:
    site.app("tasks_per_transaction=5, recheck=0.2", body=endings(site))
    back, done = site.push("leaves", how="back"), site.push("leaves", how="done")
    rest = site.push_many([{}] * 5)
    tree = site.tree(workers=1, ready=False)
    site.ended(back, *rest, within=20)
    site.store.quiet(5)
    books = site.books()
    first, second = books.starts[back]
    assert first.pid != second.pid
    assert (first.delivery, second.delivery) == (0, 0)
    assert len(books.starts[done]) == 1
    assert all(len(books.starts[n]) == 1 for n in rest)
    assert min(books.starts[n][0].at for n in rest) > second.at, "it came back in front"
    assert len(tree.events("worker.recycled")) == 2, tree.text()
    assert not site.store.dead()


def test_a_task_that_asks_for_the_end_ends_all_workers_of_its_target_and_the_tree(
    site: Site,
) -> None:
    site.app("tasks_per_transaction=3, recheck=60", body=endings(site))
    n = site.push("ends_all", done=True)
    rest = site.push_many([{}] * 2)
    tree = site.tree(workers=2, ready=False)
    assert tree.end(15) == 0
    books = site.books()
    assert n in books.ends
    left = [number for number in rest if number not in books.ends]
    assert sorted(number for number, _ in site.store.peek()) == left
    assert site.store.counts().leased == 0


def test_high_goes_before_normal_before_low_and_within_each_the_older_first(site: Site) -> None:
    site.app("tasks_per_transaction=3")
    order = [site.push(options={"priority": priority}) for priority in ("LOW", "NORMAL", "HIGH") for _ in range(3)]
    site.tree(workers=1, ready=False)
    books = site.ended(*order, within=15)
    site.settle(5)
    ran = sorted(order, key=lambda n: books.starts[n][0].at)
    assert ran == [*order[6:], *order[3:6], *order[:3]]


def test_a_delayed_task_starts_when_it_is_due_and_an_idle_worker_wakes_for_it(site: Site) -> None:
    site.app("recheck=60")
    site.tree(workers=1)
    late = site.push(options={"delay": 1.0})
    soon = site.push(options={"delay": 0.3})
    books = site.ended(late, soon)
    site.settle(5)
    assert books.starts[soon][0].at < books.starts[late][0].at
    gap = (books.starts[late][0].at - books.starts[soon][0].at) / 1e9
    assert 0.6 < gap < 1.2


def test_an_expired_task_is_not_run_and_not_a_dead_letter(site: Site) -> None:
    site.app("recheck=0.2")
    old, good = site.push(options={"expires": 0.001}), site.push()
    tree = site.tree(workers=1)
    site.ended(good)
    site.store.quiet(5)
    assert old not in site.books().starts
    assert not site.store.dead()
    assert tree.event("task.expired")


def test_a_burst_runs_what_there_is_retries_included_and_ends(site: Site) -> None:
    site.app(
        "max_retries=2, backoff=Backoff(first=0.1), recheck=0.2, tasks_per_transaction=5",
        body=endings(site),
    )
    numbers = site.push_many([{}] * 50)
    retried = site.push("ends", how="requeue")
    tree = site.tree(workers=2, burst=True, ready=False)
    assert tree.end(20) == 0
    site.settle(1, extra_starts=1)
    assert {*numbers, retried} <= site.books().ends.keys()


def test_workers_recycled_after_so_many_tasks_lose_and_double_none(site: Site) -> None:
    site.app("max_tasks_per_run=20, tasks_per_transaction=8")
    numbers = site.push_many([{}] * 200)
    tree = site.tree(workers=2, ready=False)
    site.ended(*numbers, within=30)
    books = site.settle(5, extra_starts=0)
    runs: dict[int, int] = {}
    for lines in books.starts.values():
        runs[lines[0].pid] = runs.get(lines[0].pid, 0) + 1
    assert max(runs.values()) <= 20
    assert len(tree.events("worker.recycled")) >= 8
    assert not tree.events("worker.crashed")
