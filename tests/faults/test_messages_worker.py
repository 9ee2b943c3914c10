"""Rows 56 to 65 of the fault matrix, through a worker: what cannot be read is neither run, lost nor fatal."""

from __future__ import annotations

import bisect
import json
import os
import random
import struct
import zlib
from pathlib import Path

import pytest

from harness.each_store import on_each_store
from harness.scale import size
from harness.site import Site
from harness.wait import eventually
from regiment.errors import EncodeError, PayloadTooLarge, RegimentError
from regiment.task import Task, new_id
from regiment_runner.worker.parking import RATE

WIRE = Path(__file__).parents[1] / "fixtures" / "wire"
KEY = "a secret of some length"
PARK = "unknown_for=1.5, recheck=0.2"


def encoded(site: Site, name: str = "nap", **kwargs: object) -> bytes:
    """A whole message."""
    task = Task(new_id(), site.queue.name, name, dict(kwargs), 1.0)
    return bytes(site.queue.broker.codec.encode(task))


def sealed(message: bytes) -> bytes:
    """The message with a checksum that matches: written so, not damaged."""
    return message + struct.pack("<I", zlib.crc32(message))


@pytest.mark.fault(56)
@on_each_store
def test_damaged_messages_are_dead_letters_with_their_bytes_and_the_worker_goes_on(
    site: Site,
) -> None:
    chance = random.Random(56)
    site.app("tasks_per_transaction=10")
    good = site.push_many([{}] * 20)
    whole = encoded(site, n=999)
    bad = [b"", bytes(1 << 20), whole[: len(whole) // 2], b'{"task": "of another framework"}']
    for _ in range(size(40, 500)):
        at = chance.randrange(len(whole))
        bad.append(whole[:at] + bytes([whole[at] ^ (1 << chance.randrange(8))]) + whole[at + 1 :])
    site.store.put(*bad)
    good += site.push_many([{}] * 20)
    tree = site.tree(workers=1)
    pids = tree.workers()
    site.ended(*good, within=size(10, 60))  # each damaged one is a dead letter first
    books = site.settle(10)
    assert 999 not in books.starts
    letters = site.store.look.dead(site.queue.name, 10_000)
    assert sorted(letter.payload for letter in letters) == sorted(bad)
    assert all(reason["kind"] == "unreadable" for reason in site.store.dead().values())
    assert tree.workers() == pids


@pytest.mark.fault(57)
@pytest.mark.fault(58)
@on_each_store
def test_what_another_release_would_know_is_parked_and_dead_only_after_its_time(site: Site) -> None:
    site.app(PARK)
    whole = encoded(site, n=1)[:-4]
    assert b"msgpack" in whole
    unknown = sealed(whole.replace(b"msgpack", b"newpack"))
    site.store.put(unknown)
    n = site.push("not_yet_deployed")
    other = site.push()
    tree = site.tree(workers=1)
    site.ended(other)
    assert site.store.counts().delayed == 2
    assert not site.store.dead()
    site.store.quiet(10)
    dead = site.store.dead()
    assert (dead[n]["kind"], dead[n]["name"]) == ("unknown", "not_yet_deployed")
    assert "not_yet_deployed" in dead[n]["error"] and "parked for" in dead[n]["error"]
    (serializer,) = [reason for number, reason in dead.items() if number < 0]
    assert "newpack" in serializer["error"]
    assert len(tree.workers()) == 1


@pytest.mark.fault(58)
@on_each_store
def test_a_task_that_is_deployed_while_it_is_parked_runs(site: Site) -> None:
    site.app("unknown_for=600, recheck=0.2")
    n = site.push("later")
    tree = site.tree(workers=1)
    tree.event("task.parked")
    assert tree.stop() == 0
    site.app(
        "unknown_for=600, recheck=0.2",
        body="@work.task\ndef later(n):\n    begin(n)\n    end(n)\n",
    )
    site.tree(workers=1)
    site.ended(n, within=10)
    site.settle(5)


@pytest.mark.fault(58)
@on_each_store
def test_a_task_with_tags_is_parked_and_never_dead_until_a_worker_with_the_plugin_runs_it_and_its_retry_keeps_them(
    site: Site,
) -> None:
    body = (
        "@work.task(max_retries=3, backoff=Backoff(first=0.1))\ndef member(n):\n"
        "    if current().task.run_count == 0:\n        raise ValueError('once')\n"
        "    write('T', n, current().task.tags['flows']['to'])\n    begin(n)\n    end(n)\n"
    )
    site.app(PARK, body=body)
    tagged = Task(new_id(), site.queue.name, "member", {"n": 10**6}, 1.0, tags={"flows": {"to": "pack"}})
    site.queue.broker.push(site.queue.name, [tagged])
    tree = site.tree(workers=1)
    assert "it has tags for flows" in tree.event("task.parked")["reason"]
    eventually(lambda: [at for at in tree.events("task.parked") if at["next_in"] >= 2], 20)  # beyond `unknown_for`
    assert not site.store.dead() and tree.stop() == 0
    site.app(f"{PARK}, plugins=[Use('harness.tags:Flows')]", body=body)
    site.tree(workers=1)
    site.ended(10**6, within=20)
    assert f"T {10**6} pack" in site.ledger.read_text() and not site.store.dead()


@pytest.mark.fault(58)
@on_each_store
def test_unknown_messages_in_great_number_come_back_a_few_at_a_time_and_known_ones_run_between(site: Site) -> None:
    many = size(1_000, 10_000)
    site.app("unknown_for=600, recheck=0.2")
    unknown = [Task(new_id(), site.queue.name, "nobody_knows", {}, 1.0) for _ in range(many)]
    site.queue.broker.push(site.queue.name, unknown)
    first = site.push()
    tree = site.tree(workers=1)
    site.ended(first, within=size(30, 120))  # each has been looked at once
    dues = sorted(one.due for one in site.store.look.peek(site.queue.name, "delayed", many))
    assert len(dues) > many * 0.8
    busiest = max(bisect.bisect(dues, due + 1) - at for at, due in enumerate(dues))
    assert busiest <= 2 * RATE  # in any second; without a brake all of them
    for _ in range(3):
        n = site.push()
        site.ended(n, within=5)
    assert tree.text().count('"task.parked"') <= RATE + 20
    assert not site.store.dead()


@pytest.mark.fault(59)
@on_each_store
def test_messages_of_every_release_that_a_store_holds_are_run(site: Site) -> None:
    held = [
        message
        for path in sorted(WIRE.glob("*.json"))
        for message in json.loads(path.read_text())
        if message["serializer"] == "msgpack" and message["task"] in ("small", "large")
    ]
    site.app(
        "tasks_per_transaction=3",
        body="""
@work.task
def send(**kwargs):
    write("ran", current().task.id, *kwargs)
""",
    )
    site.store.put(*(bytes.fromhex(message["hex"]) for message in held))
    site.tree(workers=1)
    site.store.quiet(15)
    ids = {"small": ["ran", "t1", "to"], "large": ["ran", "t3", "text"]}
    assert held
    assert site.books().words == [ids[message["task"]] for message in held]
    assert not site.store.dead()


@pytest.mark.fault(60)
@pytest.mark.fault(61)
@on_each_store
def test_what_is_too_large_is_refused_at_push_and_is_dead_without_being_unpacked(
    site: Site,
) -> None:
    site.app('payload_limit=100_000, compressor="zlib"')
    with pytest.raises(PayloadTooLarge):
        site.queue.options(name="nap").push(n=1, filler=os.urandom(9 * 1024 * 1024))
    assert site.store.counts().ready == 0
    plain = encoded(site, n=1, filler="x" * 200_000)
    from regiment import Queue

    packer = Queue(site.queue.name, connector=site.url, compressor="zlib", payload_limit=1 << 28)
    bomb = packer.broker.codec.encode(
        Task(new_id(), site.queue.name, "nap", {"n": 2, "filler": "x" * (100 << 20)}, 1.0)
    )
    assert len(bomb) < 1 << 20
    site.store.put(plain, bytes(bomb), bytes(12 << 20))
    n = site.push()
    tree = site.tree(workers=1)
    (pid,) = tree.workers()
    site.ended(n)
    site.store.quiet(10)
    assert site.books().starts.keys() == {n}
    reasons = [reason["kind"] for reason in site.store.dead().values()]
    assert reasons == ["unreadable"] * 3
    with open(f"/proc/{pid}/status", "rb") as status:
        peak = next(int(line.split()[1]) for line in status if line.startswith(b"VmHWM"))
    assert peak < 150 * 1024, "a bomb of 100 MB was not unpacked (kilobytes)"


@pytest.mark.fault(62)
@on_each_store
def test_a_pickle_in_a_queue_that_did_not_ask_for_pickle_is_not_opened(site: Site) -> None:
    from regiment import Queue, Use

    marker = site.folder / "opened"

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, (f"touch {marker}",)

    pickler = Queue(site.queue.name, connector=site.url, serializer=Use("pickle", key="chosen by the attacker"))
    payload = pickler.broker.codec.encode(Task(new_id(), site.queue.name, "nap", {"n": Evil()}, 1.0))
    site.app(PARK)
    site.store.put(bytes(payload))
    n = site.push()
    tree = site.tree(workers=1)
    site.ended(n)
    site.store.quiet(10)
    assert not marker.exists()
    (reason,) = site.store.dead().values()
    assert "pickle" in reason["error"]
    assert len(tree.workers()) == 1


@pytest.mark.fault(62)
@on_each_store
def test_a_message_that_names_a_function_as_its_serializer_is_dead_and_calls_nothing(
    site: Site,
) -> None:
    site.app(PARK)
    whole = encoded(site, n=1)[:-4]
    rest = whole[whole.index(b"msgpack") + len(b"msgpack") :]
    site.store.put(sealed(b"\xa9\x01\x08os:abort" + rest))
    site.store.put(sealed(b"\xa9\x01\x07msgpack\x08os:abort" + rest[1:]))
    n = site.push()
    tree = site.tree(workers=1)
    pids = tree.workers()
    site.ended(n)
    site.store.quiet(10)
    errors = [reason["error"] for reason in site.store.dead().values()]
    assert len(errors) == 2 and all("'os:abort', which is no name of an offer" in one for one in errors)
    assert tree.workers() == pids


@pytest.mark.fault(62)
@on_each_store
def test_a_signed_queue_runs_what_was_signed_for_it_and_nothing_that_was_moved_or_changed(site: Site) -> None:
    """Retried, taken, dead and replayed, each with a signature of its own queue."""
    from regiment import Queue, Use

    how = {"serializer": Use("signed", keys=("the new secret of it", KEY)), "accept": ("signed",)}
    signing = Queue(site.queue.name, connector=site.url, serializer=Use("signed", keys=(KEY,)), accept=("signed",))
    codec = signing.broker.codec
    settings = 'serializer=Use("signed", keys=("the new secret of it", {KEY!r})), accept=("signed",), max_retries=1'
    body = """
@work.task
def tries(n):
    begin(n)
    if current().task.run_count == 0 or n > 1:
        raise ValueError("again")
    with current().take(10, queue="taken") as others:
        for one in others:
            begin(one.kwargs["n"])
            end(one.kwargs["n"])
    end(n)
"""
    site.app(settings.replace("{KEY!r}", repr(KEY)) + ", backoff=Backoff(first=0.05)", body=body)

    def message(n: int, queue: str = site.queue.name, id: str | None = None) -> bytes:
        return bytes(codec.encode(Task(id or new_id(), queue, "tries", {"n": n}, 1.0)))

    whole = message(9, id="id-one")
    bad = [
        message(9, queue="another"),
        sealed(whole[:-4].replace(b"id-one", b"id-two")),
        encoded(site, "tries", n=9),
    ]
    signing.broker.push("taken", [Task("t-3", "taken", "nap", {"n": 3}, 1.0)])
    site.store.put(message(2), *bad)
    tree = site.tree(workers=1)
    site.until(lambda books: len(books.starts.get(2, ())) == 2, 10)
    site.store.put(message(1))
    books = site.ended(1, 3)
    site.store.quiet(10)
    assert 9 not in books.starts and len(books.starts[1]) == 2
    reasons = site.store.dead()
    assert sorted(reason["kind"] for reason in reasons.values()) == ["failure", "forged", "forged", "unreadable"]
    reader = Queue(site.queue.name, connector=site.url, **how)
    with reader.broker.connector() as store:
        [letter] = [one for one in store.dead(site.queue.name, 10) if one.payload not in bad]
        task = reader.broker.codec.decode(letter.payload, site.queue.name)
        task.run_count = 0
        store.revive(site.queue.name, {letter.id: reader.broker.codec.encode(task)})
    site.until(lambda books: len(books.starts[2]) == 4, 10)
    assert len(tree.workers()) == 1
    for queue in (signing, reader):
        queue.broker.close()


@pytest.mark.fault(63)
@on_each_store
def test_exceptions_of_any_shape_become_reasons_of_bounded_size(site: Site) -> None:
    site.app(
        "tasks_per_transaction=5, max_retries=1, backoff=Backoff(first=0.05)",
        hooks=True,
        body="""
class Mute(Exception):
    def __str__(self):
        raise RuntimeError("no text")
    __repr__ = __str__

class Unpicklable(Exception):
    def __init__(self, a, b):
        self.lock = threading.Lock()
        super().__init__(a)

class Deep(Exception):
    def __str__(self):
        return str(self)

@work.task
def fails(n, how):
    begin(n)
    if how == "mute": raise Mute
    if how == "unpicklable": raise Unpicklable(1, 2)
    if how == "huge": raise ValueError("x" * (50 << 20))
    if how == "deep": raise Deep
    if how == "recursion": fails.function(n, how)
    if how == "surrogate": raise ValueError("\\ud800")
    if how == "group": raise BaseExceptionGroup("g", [ValueError(1), KeyboardInterrupt()])
    if how == "memory": raise MemoryError
    if how == "chain":
        try:
            raise ValueError("first")
        except ValueError as error:
            raise KeyError("second") from error
""",
    )
    ways = [
        "mute",
        "unpicklable",
        "huge",
        "deep",
        "recursion",
        "surrogate",
        "group",
        "memory",
        "chain",
    ]
    numbers = {how: site.push("fails", how=how) for how in ways}
    tree = site.tree(workers=1)
    pids = tree.workers()
    site.store.quiet(20)
    dead = site.store.dead()
    assert set(dead) == set(numbers.values())
    for how, n in numbers.items():
        letter = dead[n]
        assert letter["kind"] == "failure", how
        assert len(letter["error"]) <= 8200 and len(letter.get("traceback", "")) <= 8200, how
        assert letter["error_type"], how
    assert tree.workers() == pids, tree.text()[-2000:]


@pytest.mark.fault(64)
@on_each_store
def test_arguments_of_any_shape_are_refused_at_push_or_arrive_as_they_were(site: Site) -> None:
    site.app(
        body="""
@work.task
def shape(n, value, kind):
    begin(n)
    write("V", n, kind, type(value).__name__, len(value) if hasattr(value, "__len__") else repr(value))
    end(n)
"""
    )
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    nan, keys = float("nan"), {str(k): k for k in range(100_000)}
    expected = {}
    for kind, value in {
        "deep": deep,
        "nan": nan,
        "keys": keys,
        "surrogate": "\ud800",
        "lock": site,
    }.items():
        try:
            n = site.push("shape", value=value, kind=kind)
        except (EncodeError, PayloadTooLarge) as error:
            assert str(error)
            continue
        length = len(value) if isinstance(value, (dict, list, str)) else repr(value)
        expected[str(n)] = [kind, type(value).__name__, str(length)]
    assert [kind for kind, *_ in expected.values()] == ["nan", "keys"]
    tree = site.tree(workers=1)
    site.store.quiet(10)
    got = {n: rest for word, n, *rest in site.books().words if word == "V"}
    assert got == expected
    assert len(tree.workers()) == 1


@pytest.mark.fault(65)
@on_each_store
def test_the_same_id_pushed_again_runs_once_also_after_it_has_ended(site: Site) -> None:
    site.app()
    first = site.queue.options(name="nap", id="order-7").push(n=1000)
    again = site.queue.options(name="nap", id="order-7").push(n=1000)
    assert (first.existed, again.existed) == (False, True)
    site.producer.write("I 1000\nA 1000")
    site.tree(workers=1)
    site.ended(1000)
    site.store.quiet(5)
    assert site.queue.options(name="nap", id="order-7").push(n=1000).existed
    site.push_many([{}] * 3)
    site.settle(5)


@pytest.mark.fault(65)
@on_each_store
def test_a_push_whose_answer_was_lost_is_repeated_under_its_token_and_runs_once(site: Site) -> None:
    site.app("recheck=0.2", losing=True, body=LOSING_PUSHES)
    site.tree(workers=2)
    for _ in range(size(5, 50)):
        site.order("push", "lost")
        # One lost answer for each push: more in a row would outlast its `push_timeout`.
        site.ended(site.push("parent"))
    books = site.settle(20)
    assert len(books.ends) == 2 * size(5, 50)


LOSING_PUSHES = """
@work.task
def parent(n):
    begin(n)
    write("I", 10_000 + n)
    nap.push(n=10_000 + n)
    write("A", 10_000 + n)
    end(n)
"""


@pytest.mark.fault(64)
def test_a_push_with_the_wrong_arguments_is_an_error_of_regiment_and_queues_nothing(
    site: Site,
) -> None:
    with pytest.raises(RegimentError):
        site.queue.options(name="nap", priority="URGENT").push(n=1000)
    assert site.store.counts().ready == 0
