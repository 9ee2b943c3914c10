"""Books of several stewards on one store: who fires, who is too late, and whose word counts."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import Any

import pytest

from harness import servers
from harness.each_store import on_each_store
from regiment import Queue
from regiment.broker import Broker
from regiment.codec import read_head
from regiment.contracts import Applied
from regiment.errors import StoreUnavailable
from regiment_cli.release import Release, order
from regiment_schedules import Schedules, firing, schedule, zones
from regiment_schedules.book import LONGEST, Book
from regiment_schedules.declared import notes
from regiment_schedules.duty import Firing
from regiment_schedules.firing import due
from regiment_schedules.plan import Plan, schedules
from regiment_schedules.records import INDEX, Index, Row, fresh, renamed, row_key, row_of, ticks_of

EVERY = schedule(every=1.0, name="sec")


def nothing() -> None: ...


def app(url: str, *given: Any, **task: Any) -> Queue:
    """A queue with these schedules."""
    queue = Queue("q", connector=url, plugins=[Schedules()])
    queue.task(schedules=list(given), **task)(nothing)
    return queue


def book(queue: Queue, release: str = "", started: float = 1.0, by: str = "host:1") -> Book:
    """A steward's book of this application."""
    made = Book("q", Release(release, started, by))
    made.learn("app:q", (notes(queue) or {})["schedules"])
    return made


def ids(broker: Broker) -> Counter[str]:
    """Ids of all that waits, and how often."""
    with broker.connector() as store:
        found = [*store.peek("q", "ready", 10_000), *store.peek("q", "delayed", 10_000)]
    return Counter(read_head(one.payload).task_id for one in found)


def row(broker: Broker, name: str = "sec") -> Row:
    with broker.connector() as store:
        (record,) = store.records("q", [row_key(name)])  # type: ignore[attr-defined]
    found = row_of(name, record)
    assert found is not None
    return found


def put_back(broker: Broker, seconds: float, name: str = "sec") -> None:
    """As if nothing had been fired for so long."""
    one = row(broker, name)
    with broker.connector() as store:
        store.apply("q", [one.keep(last=int(time.time() - seconds))], token=f"{time.time()}")  # type: ignore[attr-defined]


def fires(one: Book, store: Any, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(min(one.look(store), max(0.0, until - time.monotonic())))


@pytest.mark.fault(54)
@on_each_store
def test_of_eight_books_at_once_exactly_one_fires_each_tick(store: str) -> None:
    queue = app(store, EVERY)
    books = [book(queue, by=f"host:{n}") for n in range(8)]
    threads = []
    for one in books:

        def run(one: Book = one) -> None:
            connector = queue.broker.open("duty")
            fires(one, connector, 5.0)
            connector.close()

        threads.append(threading.Thread(target=run))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = ids(queue.broker)
    assert set(found.values()) == {1}
    assert len(found) == row(queue.broker).data["fired"] and 4 <= len(found) <= 8
    queue.broker.close()


@pytest.mark.fault(77)
@on_each_store
def test_a_book_that_stood_still_longer_than_any_window_fires_nothing_twice(store: str) -> None:
    queue = app(store, EVERY)
    connector: Any = queue.broker.open("duty")
    slow, fast = book(queue, by="host:1"), book(queue, by="host:2")
    slow.look(connector)
    held: list[Any] = []

    class Late:
        """Its requests arrive when everything is over."""

        def __getattr__(self, name: str) -> Any:
            return getattr(connector, name)

        def apply(self, *args: Any, **kwargs: Any) -> Applied:
            held.append((args, kwargs))
            raise StoreUnavailable("no answer")

    put_back(queue.broker, 5)
    slow.read(connector)
    slow._heap = [(0.0, "sec", slow.rows["sec"].version)]
    with pytest.raises(StoreUnavailable):
        slow.look(Late())
    fast.look(connector)
    fires(fast, connector, 1.0)
    before = ids(queue.broker)
    connector.purge("q")  # the ids are known no longer, as after a day
    for args, kwargs in held:
        kwargs["token"] += "x"  # nor is the token
        assert connector.apply(*args, **kwargs).done is False
    assert not ids(queue.broker) and before
    connector.close()
    queue.broker.close()


@on_each_store
def test_a_lost_answer_is_seen_by_the_version_and_nothing_is_fired_again(store: str) -> None:
    queue = app(store, EVERY)
    connector: Any = queue.broker.open("duty")
    one = book(queue)
    one.look(connector)
    put_back(queue.broker, 3)

    class Losing:
        def __getattr__(self, name: str) -> Any:
            return getattr(connector, name)

        def apply(self, *args: Any, **kwargs: Any) -> Applied:
            connector.apply(*args, **kwargs)
            raise StoreUnavailable("the answer was lost", maybe_pushed=True)

    one.read(connector)
    one._heap = [(0.0, "sec", one.rows["sec"].version)]
    with pytest.raises(StoreUnavailable):
        one.look(Losing())
    one.stale = True
    fires(one, connector, 1.5)
    assert set(ids(queue.broker).values()) == {1}
    connector.close()
    queue.broker.close()


@pytest.mark.parametrize(("catch_up", "made_up"), [("skip", 0), ("last", 1), ("all", 10)])
def test_after_ten_missed_ticks_as_many_are_made_up_as_the_schedule_says(catch_up: str, made_up: int) -> None:
    now = 1_000_000_000.25
    spec = schedule(every=1.0, catch_up=catch_up).spec  # type: ignore[arg-type]
    one = Row("a", 1, fresh(spec, "t", "d", now - 10.5))
    found = due(one, ticks_of(spec, {}), now)
    assert found is not None
    missed = [tick for tick in found.ticks if tick < now - 0.5]
    assert len(missed) == made_up and found.last == now - 0.25 + 2.0
    assert found.skipped == 10 - made_up and found.ticks[len(missed) :] == [now - 0.25, now + 0.75, now + 1.75]


def test_what_is_older_than_within_is_not_made_up_and_many_come_a_thousand_at_a_time() -> None:
    now = 1_000_000_000.25
    spec = schedule(every=1.0, catch_up="all", within=60).spec
    ticks = ticks_of(spec, {})
    found = due(Row("a", 1, fresh(spec, "t", "d", now - 86_400)), ticks, now)
    assert found is not None and found.ticks[0] >= now - 61 and len(found.ticks) <= 63
    spec = schedule(every=1.0, catch_up="all").spec
    found = due(Row("a", 1, fresh(spec, "t", "d", now - 5000)), ticks, now)
    assert found is not None and len(found.ticks) == firing.MOST and found.last == found.ticks[-1]


def test_a_schedule_that_fires_yearly_makes_up_its_last_tick() -> None:
    spec = schedule("0 0 1 1 *", within=40 * 86_400).spec
    now = 1_769_000_000.0
    found = due(Row("a", 1, fresh(spec, "t", "d", now - 60 * 86_400)), ticks_of(spec, {}), now)
    assert found is not None and len(found.ticks) == 1
    found = due(Row("a", 1, fresh({**spec, "within": 86_400.0}, "t", "d", now - 60 * 86_400)), ticks_of(spec, {}), now)
    assert found is not None and found.ticks == [] and found.last > now - 60 * 86_400


@pytest.mark.fault(81)
@on_each_store
def test_the_newest_living_release_decides_and_last_and_a_pause_survive(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = app(store, EVERY), app(store, schedule(every=2.0, name="sec"))
    connector: Any = old.broker.open("duty")
    a, b = book(old, "v9", 9.0, "host:1"), book(new, "v10", 1.0, "host:2")
    for who, release in (("1", "v9"), ("2", "v10")):
        connector.announce(who, f'{{"host": "host", "pid": {who}, "release": "{release}"}}'.encode(), 60.0)
    a.look(connector)
    last = row(old.broker).last
    schedules(old).pause("sec")
    b.look(connector)
    assert row(old.broker).spec["every"] == 2.0 and row(old.broker).last == last and row(old.broker).data["paused"]
    version = row(old.broker).version
    for one in (a, b, a, b):
        one.stale = True
        one.look(connector)
    assert row(old.broker).version == version  # no flapping
    connector.announce("2", b"", 0.001)
    monkeypatch.setattr("regiment_schedules.book.AGAIN", 0.2)
    a.stale = True
    a.look(connector)
    time.sleep(0.5)
    a.look(connector)
    assert row(old.broker).spec["every"] == 1.0 and row(old.broker).data["paused"]
    connector.close()
    old.broker.close()


@on_each_store
def test_a_schedule_that_the_newest_release_no_longer_has_goes_and_an_older_one_does_not_bring_it_back(
    store: str,
) -> None:
    old, new = app(store, EVERY, schedule("0 9 * * *", name="stays")), app(store, schedule("0 9 * * *", name="stays"))
    connector: Any = old.broker.open("duty")
    a, b = book(old, "1", 1.0, "host:1"), book(new, "2", 2.0, "host:2")
    connector.announce("1", b'{"host": "host", "pid": 1, "release": "1"}', 60.0)
    connector.announce("2", b'{"host": "host", "pid": 2, "release": "2"}', 60.0)
    a.look(connector)

    def names() -> set[str]:
        return Index(connector.records("q", [INDEX])[0]).names

    assert names() == {"sec", "stays"}
    b.look(connector)
    assert names() == {"stays"}
    a.stale = True
    a.look(connector)
    assert names() == {"stays"} and "sec" not in a.rows
    connector.close()
    old.broker.close()


@on_each_store
def test_a_schedule_of_the_store_is_added_replaced_paused_run_and_removed(store: str) -> None:
    queue = app(store)
    plan, task = schedules(queue), queue.tasks["nothing"]
    plan.add("a", task, "0 6 1 * *", tz="Asia/Tokyo")
    last = plan.get("a").last
    plan.add("a", task, every=5)
    assert (
        plan.get("a").last == last and plan.get("a").when == "every 5 s" and [one.name for one in plan.list()] == ["a"]
    )
    plan.pause("a")
    assert plan.get("a").next is None and "@" in plan.get("a").paused
    plan.resume("a")
    assert plan.get("a").next is not None and len(plan.next("a", 3)) == 3
    id = plan.run_now("a")
    assert id.startswith("a!") and ids(queue.broker) == {id: 1}
    plan.remove("a")
    assert plan.list() == []
    with pytest.raises(Exception, match="no schedule 'a'"):
        plan.pause("a")
    queue.broker.close()


@on_each_store
def test_one_from_code_that_is_removed_stays_away_while_any_release_that_lived_then_goes_on(store: str) -> None:
    queue = app(store, EVERY, schedule("0 9 * * *", name="stays"))
    connector: Any = queue.broker.open("duty")
    a, b = book(queue, "1", 1.0, "host:1"), book(queue, "2", 2.0, "host:2")
    for who in ("1", "2"):
        connector.announce(who, f'{{"host": "host", "pid": {who}, "release": "{who}"}}'.encode(), 60.0)
    a.look(connector)
    b.look(connector)
    assert schedules(queue).remove("sec") == "app:q"
    for one in (a, b, book(queue, "2", 3.0, "host:3")):
        one.stale = True
        one.look(connector)
        assert set(one.rows) == {"stays"}, one.mine
    schedules(queue).add("sec", queue.tasks["nothing"], every=5)  # the name is free for another
    assert schedules(queue).remove("sec") == ""
    newer = book(queue, "3", 4.0, "host:4")
    newer.look(connector)
    assert set(newer.rows) == {"sec", "stays"}
    connector.close()
    queue.broker.close()


def test_without_a_release_one_that_was_removed_comes_back_with_the_next_start_whatever_the_clocks(store: str) -> None:
    queue = app(store, EVERY)
    connector: Any = queue.broker.open("duty")
    ahead, before = book(queue, "", time.time() + 3600, "host:1"), book(queue, "", time.time() - 10, "host:2")
    ahead.look(connector)
    before.look(connector)
    schedules(queue).remove("sec")
    for one in (ahead, before, book(queue, "", time.time() - 10, "host:2")):
        one.stale = True
        one.look(connector)
        assert not one.rows, one.mine  # of the third the steward was replaced meanwhile
    later = book(queue, "", time.time() + 1, "host:3")
    later.look(connector)
    assert set(later.rows) == {"sec"}
    connector.close()
    queue.broker.close()


@pytest.mark.fault(79)
def test_a_row_that_is_a_day_ahead_is_set_to_now_and_one_that_is_a_little_ahead_waits(
    store: str, caplog: pytest.LogCaptureFixture
) -> None:
    queue = app(store, EVERY)
    connector: Any = queue.broker.open("duty")
    one = book(queue)
    one.look(connector)
    put_back(queue.broker, -600)
    one.stale = True
    one.look(connector)
    assert row(queue.broker).last > time.time() + 500
    put_back(queue.broker, -86_400)
    one.stale = True
    one.look(connector)
    assert abs(row(queue.broker).last - time.time()) < 5
    assert "schedule.reset" in caplog.text
    connector.close()
    queue.broker.close()


@pytest.mark.fault(82)
def test_older_zone_data_leaves_a_schedule_to_newer_while_that_is_alive(
    store: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    queue = app(store, schedule("* * * * * *", name="sec"))
    connector: Any = queue.broker.open("duty")
    connector.announce("1", b'{"host": "host", "pid": 1}', 60.0)
    newer, older = book(queue, by="host:1"), book(queue, by="host:2")
    newer.look(connector)
    put_back(queue.broker, 2)
    newer.stale = True
    newer.look(connector)
    fires(newer, connector, 0.3)
    assert row(queue.broker).data["tz"] == zones.version()
    fired = row(queue.broker).data["fired"]
    monkeypatch.setattr("regiment_schedules.zones.version", lambda: "2001a")
    put_back(queue.broker, 2)
    older.look(connector)
    fires(older, connector, 0.5)
    assert row(queue.broker).data["fired"] == fired and "schedule.unknown" in caplog.text
    connector.announce("1", b"", 0.001)
    monkeypatch.setattr("regiment_schedules.book.AGAIN", 0.2)
    older.stale = True
    fires(older, connector, 1.0)
    assert row(queue.broker).data["fired"] > fired
    connector.close()
    queue.broker.close()


@pytest.mark.fault(82)
def test_a_zone_or_calendar_that_is_not_here_is_said_once_and_the_others_are_fired(
    store: str, caplog: pytest.LogCaptureFixture
) -> None:
    queue = app(store, EVERY, schedule("* * * * * *", name="off", except_=["calendar:de"]))
    connector: Any = queue.broker.open("duty")
    one = book(queue)
    fires(one, connector, 2.2)
    assert caplog.text.count("schedule.unknown") == 1
    assert row(queue.broker, "sec").data["fired"] and not row(queue.broker, "off").data["fired"]
    assert "calendar" in schedules(queue).get("off").trouble
    schedules(queue).calendar("de", ["2026-12-25"])
    one.stale = True
    fires(one, connector, 2.2)
    assert row(queue.broker, "off").data["fired"]
    connector.close()
    queue.broker.close()


def test_nothing_is_sent_while_nothing_is_due(store: str) -> None:
    queue = app(store, schedule("0 0 1 1 *", name="year"))
    connector: Any = queue.broker.open("duty")
    asked: list[str] = []

    class Counting:
        def __getattr__(self, name: str) -> Any:
            asked.append(name)
            return getattr(connector, name)

    one = book(queue)
    assert one.look(Counting()) == LONGEST
    asked.clear()
    for _ in range(100):
        one.look(Counting())
    assert asked == []
    connector.close()
    queue.broker.close()


def test_releases_are_sorted_with_their_numbers_as_numbers() -> None:
    names = ["v1.9", "v1.10", "2026-09-01", "2026-10-01", "2026-10-01.2"]

    def key(name: str) -> Any:
        return order(Release(name, 0.0, ""))

    assert key(names[0]) < key(names[1]) and key(names[2]) < key(names[3]) < key(names[4])
    assert order(Release("a", 1.0, "")) < order(Release("a", 2.0, ""))


def test_a_renamed_message_is_read_as_one_with_that_id() -> None:
    queue = app("memory")
    with Plan(queue.broker, "q")._broker.connector():
        codec = queue.broker.codec
    from regiment.task import Task

    message = codec.encode(Task("x" * 40, "q", "nothing", {"a": 1}, 5.0))
    task = codec.decode(renamed(message, "name@20261129T080000Z"), "q")
    assert (task.id, task.name, task.kwargs, task.date) == ("name@20261129T080000Z", "nothing", {"a": 1}, 5.0)


@on_each_store
def test_a_tick_that_must_not_overlap_is_left_out_while_the_last_one_waits_and_not_longer(store: str) -> None:
    queue = app(store, schedule(every=1.0, name="sec", overlap="skip"))
    connector: Any = queue.broker.open("duty")
    one = book(queue)
    fires(one, connector, 3.5)
    found = ids(queue.broker)
    assert len(found) == 1 and row(queue.broker).data["skipped"] >= 1
    connector.purge("q")
    fires(one, connector, 2.5)
    assert len(ids(queue.broker)) == 1 and not ids(queue.broker).keys() & found.keys()
    connector.close()
    queue.broker.close()


class Told:
    """A target, as the steward tells a duty of it."""

    def __init__(self, queue: Queue) -> None:
        from regiment.build import located
        from regiment.registry import registry

        name, _, options = located(queue.config, registry().scope(queue.config.plugins), "")
        self.label, self.queue = "app:q", queue.name
        self.spec = {"connector": {"name": name, "options": dict(options), "plugins": []}}
        self._broker = queue.broker

    def connect(self) -> Any:
        return self._broker.open("duty")


@on_each_store
def test_a_change_reaches_the_duty_at_once_and_without_asking_again_and_again(store: str) -> None:
    queue = app(store, schedule("0 0 1 1 *", name="year"))
    duty, woken = Firing("", 1.0, "host:1"), threading.Event()
    duty.wakes(woken.set)
    duty.learn(Told(queue), notes(queue))  # type: ignore[arg-type]
    until = time.monotonic() + 3
    while time.monotonic() < until:
        time.sleep(min(duty.look(time.time()), 0.2))
    woken.clear()
    schedules(queue).add("new", queue.tasks["nothing"], every=1.0)
    assert woken.wait(5.0)
    until = time.monotonic() + 20
    while not ids(queue.broker) and time.monotonic() < until:
        time.sleep(min(duty.look(time.time()), 0.05))
    assert ids(queue.broker)
    queue.broker.close()


def test_on_redis_nothing_is_sent_while_nothing_is_due() -> None:
    with servers.redis() as server:
        queue = app(server.url, schedule("0 0 1 1 *", name="year"))
        duty = Firing("", 1.0, "host:1")
        duty.learn(Told(queue), notes(queue))  # type: ignore[arg-type]

        def works(seconds: float) -> None:
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                time.sleep(min(duty.look(time.time()), 0.1))

        works(3.0)
        before = processed(server)
        works(5.0)
        # The question itself; and perhaps one wait that ends and begins anew, each with a pop that is sent behind the blocking one.
        assert processed(server) - before <= 3
        queue.broker.close()


def processed(server: Any) -> int:
    text = server.ask("INFO", "stats").decode()
    return int(text.split("total_commands_processed:")[1].split()[0])
