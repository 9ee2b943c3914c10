"""What the Redis connector does when Redis is away, refuses, is full, or answers in pieces: on real servers."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))
from harness.proxy import Proxy
from harness.servers import RedisServer, redis
from regiment.contracts import Back, Done, Terms
from regiment.errors import ConfigError, Fenced, QueueFull, StoreError, StoreUnavailable, TaskTimeout
from regiment_redis import Redis, client
from regiment_redis.address import parse
from regiment_redis.client import ClientWire
from regiment_redis.connector import RedisConnector
from regiment_redis.reach import connect, pack
from regiment_redis.wire import FastWire, Wire

MIB = 1 << 20


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis() as server:
        yield server


@pytest.fixture
def proxy(server: RedisServer) -> Iterator[Proxy]:
    with Proxy(server.port) as proxy:
        yield proxy


def opened(url: str, **options: object) -> RedisConnector:
    connector = RedisConnector(url, **options)  # type: ignore[arg-type]
    connector.open("push")
    return connector


def is_script(request: bytes) -> bool:
    return b"EVALSHA" in request


@pytest.mark.fault(4)
def test_a_lease_whose_reply_was_lost_is_answered_again(server: RedisServer, proxy: Proxy) -> None:
    opened(server.url).push("q", [b"%d" % n for n in range(500)], priority=1, token="t")
    worker = opened(proxy.url)
    worker.join("q", "w", Terms())
    found, settlements, base = [], [], 1
    for turn in range(1, 51):
        proxy.cut_reply(is_script)
        with pytest.raises(StoreUnavailable) as caught:
            worker.exchange("q", "w", turn, base, settlements, 10, MIB)
        assert caught.value.maybe_pushed
        taken = worker.exchange("q", "w", turn, base, settlements, 10, MIB)
        assert not taken.lost
        found += [d.payload for d in taken.deliveries]
        settlements = [Done(base, base + 9)]
        base += 10
    assert found == [b"%d" % n for n in range(500)]
    assert proxy.cuts == 50


@pytest.mark.fault(65)
def test_a_push_whose_reply_was_lost_is_repeated_without_a_copy(server: RedisServer, proxy: Proxy) -> None:
    producer = opened(proxy.url)
    producer.push("q", [b"0"], priority=1, token="0")
    for n in range(1, 20):
        proxy.cut_reply(is_script)
        with pytest.raises(StoreUnavailable) as caught:
            producer.push("q", [b"%d" % n], priority=1, token=f"{n}")
        assert caught.value.maybe_pushed
        assert producer.push("q", [b"%d" % n], priority=1, token=f"{n}") == ()
    assert [p.payload for p in producer.peek("q", "ready")] == [b"%d" % n for n in range(20)]


@pytest.mark.fault(12)
@pytest.mark.parametrize("kind", [ClientWire, FastWire])
@pytest.mark.parametrize("verb", ["ask", "ask_all"])
def test_a_strike_between_a_command_and_its_reply_closes_the_connection(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch, kind: type[Wire], verb: str
) -> None:
    monkeypatch.setattr(client, "FAST", False)
    where, peer = "here", ("127.0.0.1", server.port)
    wire = (
        connect(parse(server.url), 5.0, 2.0)
        if kind is FastWire
        else client.connect(parse(server.url), where, 5.0, 2.0, peer)
    )
    assert type(wire) is kind

    def struck(*_: object) -> None:
        raise TaskTimeout

    monkeypatch.setattr(wire, "receive", struck)
    monkeypatch.setattr(wire, "_recv", struck, raising=False)
    ping = pack(("PING",))
    with pytest.raises(TaskTimeout):
        wire.ask(ping) if verb == "ask" else wire.ask_all([ping, ping])
    assert not wire.open, "the reply may still come, and would be taken for the next one's"


@pytest.mark.fault(12)
def test_a_strike_while_a_command_is_packed_is_raised_and_ends_no_process() -> None:
    """hiredis runs the handlers of signals when it is given a number, and died of what they raise."""
    script = """
import signal
from regiment_redis.reach import pack

class Struck(BaseException):
    pass

def strike(*_):
    raise Struck

signal.signal(signal.SIGALRM, strike)
times = 0
while times < 1000:
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.00002 + times % 100 * 0.000001)
        while True:
            pack(("EVALSHA", 1, 2.5, *range(200)))
    except Struck:
        times += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
print(times)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "1000\n"), done.stderr


@pytest.mark.fault(44)
def test_a_reply_cut_in_the_middle_is_never_taken_for_another(server: RedisServer, proxy: Proxy) -> None:
    opened(server.url).push("q", [b"x" * 1000] * 20, priority=1, token="t")
    worker = opened(proxy.url)
    worker.join("q", "w", Terms())
    proxy.cut_after(3000)
    with pytest.raises(StoreUnavailable):
        worker.exchange("q", "w", 1, 1, [], 20, MIB)
    taken = worker.exchange("q", "w", 1, 1, [], 20, MIB)
    assert [d.receipt for d in taken.deliveries] == list(range(1, 21))
    assert worker.counts("q").leased == 20


@pytest.mark.fault(42)
def test_a_silent_connection_is_noticed_after_the_timeout(server: RedisServer, proxy: Proxy) -> None:
    worker = opened(proxy.url, timeout=0.5)
    worker.join("q", "w", Terms())
    proxy.half_open()
    start = time.monotonic()
    with pytest.raises(StoreUnavailable, match=r"did not answer: nothing came for 0\.5 s"):
        worker.exchange("q", "w", 1, 1, [], 1, MIB)
    assert 0.4 < time.monotonic() - start < 5
    proxy.pass_on()
    assert worker.exchange("q", "w", 1, 1, [], 1, MIB).deliveries == ()


@pytest.mark.fault(41)
def test_after_a_reset_the_next_call_connects_again(server: RedisServer, proxy: Proxy) -> None:
    worker = opened(proxy.url)
    worker.join("q", "w", Terms())
    for turn in range(1, 6):
        proxy.reset()
        for _ in range(3):
            try:
                worker.exchange("q", "w", turn, 1, [], 1, MIB)
                break
            except StoreUnavailable:
                continue
        else:
            pytest.fail("it did not come back")


@pytest.mark.fault(34)
def test_a_restarted_server_gets_its_scripts_again_and_knows_its_consumers(
    server: RedisServer,
) -> None:
    worker = opened(server.url)
    worker.push("q", [b"1", b"2"], priority=1, token="t")
    worker.join("q", "w", Terms())
    assert len(worker.exchange("q", "w", 1, 1, [], 1, MIB).deliveries) == 1
    server.stop()
    with pytest.raises(StoreUnavailable):
        worker.exchange("q", "w", 2, 2, [Done(1, 1)], 1, MIB)
    with pytest.raises(StoreUnavailable, match="Is Redis running there") as caught:
        worker.push("q", [b"3"], priority=1, token="u")
    assert not caught.value.maybe_pushed
    server.start()
    taken = worker.exchange("q", "w", 2, 2, [Done(1, 1)], 1, MIB)
    assert [d.payload for d in taken.deliveries] == [b"2"]
    assert not taken.lost


@pytest.mark.fault(36)
def test_a_server_that_forgot_everything_fences_its_consumers() -> None:
    with redis(aof=False) as server:
        worker = opened(server.url)
        worker.push("q", [b"1"], priority=1, token="t")
        worker.join("q", "w", Terms())
        worker.exchange("q", "w", 1, 1, [], 1, MIB)
        server.kill()
        server.start()
        for _ in range(2):
            try:
                worker.exchange("q", "w", 2, 2, [Done(1, 1)], 1, MIB)
            except StoreUnavailable:
                continue
            except Fenced:
                break
        else:
            pytest.fail("it was not fenced")
        worker.join("q", "w2", Terms())
        worker.push("q", [b"2"], priority=1, token="u")
        assert [d.payload for d in worker.exchange("q", "w2", 1, 1, [], 5, MIB).deliveries] == [b"2"]


@pytest.mark.fault(35)
def test_what_was_acknowledged_survives_a_kill_of_the_server() -> None:
    with redis("--appendfsync", "always") as server:
        for round in range(3):
            producer = opened(server.url)
            for n in range(300):
                producer.push("q", [b"%d.%d" % (round, n)], priority=1, token=f"{round}.{n}")
            server.kill()
            server.start()
            producer.close()
        assert opened(server.url).counts("q").ready == 900


@pytest.mark.fault(46)
def test_a_full_server_refuses_pushes_and_can_be_drained(server: RedisServer) -> None:
    worker = opened(server.url)
    worker.push("q", [b"x" * 1000] * 100, priority=1, token="t")
    worker.join("q", "w", Terms(lease=5))
    server.ask("CONFIG", "SET", "maxmemory", "1mb")
    with pytest.raises(QueueFull, match="takes no more tasks: it has reached maxmemory"):
        worker.push("q", [b"y"], priority=1, token="u")
    worker.join("q", "late", Terms(lease=5))
    assert list(worker.renew([("q", "w")], 5)) == []
    settlements, base, turn, done = [], 1, 1, 0
    while taken := worker.exchange("q", "w", turn, base, settlements, 10, MIB).deliveries:
        settlements = (
            [Done(base, base + 7), Back(base + 8, base + 9)] if turn == 1 else [Done(base, base + len(taken) - 1)]
        )
        done += 8 if turn == 1 else len(taken)
        turn, base = turn + 1, base + len(taken)
    worker.release("q", "w", [], {}, close=True)
    assert done == 100
    server.ask("CONFIG", "SET", "maxmemory", "0")
    worker.push("q", [b"y"], priority=1, token="u")
    assert worker.counts("q").ready == 1


@pytest.mark.fault(45)
def test_a_wrong_password_is_refused_in_words_without_the_secret() -> None:
    with redis() as server:
        server.ask("CONFIG", "SET", "requirepass", "right-one")
        server.password = "right-one"
        for url in (f"redis://:wrong-one@127.0.0.1:{server.port}/0", server.url):
            with pytest.raises(StoreError, match="refused us") as caught:
                opened(url)
            assert not isinstance(caught.value, StoreUnavailable)
            assert "wrong-one" not in str(caught.value)
        good = opened(f"redis://:right-one@127.0.0.1:{server.port}/0")
        assert "right-one" not in good.describe()
        good.push("q", [b"1"], priority=1, token="t")


@pytest.mark.fault(45)
def test_a_replica_is_named_at_start_and_a_demoted_primary_is_away() -> None:
    with redis() as primary, redis() as replica:
        worker = opened(replica.url)
        replica.ask("REPLICAOF", "127.0.0.1", primary.port)
        with pytest.raises(StoreUnavailable, match="is a replica now"):
            worker.push("q", [b"1"], priority=1, token="t")
        with pytest.raises(StoreError, match=f"is a replica of 127.0.0.1:{primary.port}"):
            opened(replica.url)


@pytest.mark.fault(47)
def test_eviction_and_missing_persistence_are_warned_of() -> None:
    with redis("--maxmemory-policy", "allkeys-lru", aof=False) as server:
        texts = opened(server.url).warnings()
        assert any("maxmemory-policy allkeys-lru" in text for text in texts)
        assert any("no persistence" in text for text in texts)
    with redis() as server:
        assert opened(server.url).warnings() == []


@pytest.mark.fault(50)
def test_a_server_without_free_connections_is_unavailable() -> None:
    with redis("--maxclients", "3") as server:
        held = [opened(server.url) for _ in range(3)]
        with pytest.raises(StoreUnavailable):
            opened(server.url)
        for connector in held:
            connector.close()


def test_a_newer_layout_is_refused_in_words(server: RedisServer) -> None:
    server.ask("SET", "regiment:layout", "99")
    with pytest.raises(StoreError, match=r"holds the layout 99.*Upgrade regiment-redis"):
        opened(server.url)


def test_a_node_that_is_down_delays_only_its_own_tasks() -> None:
    with redis() as one, redis() as two:
        store = RedisConnector(nodes=[one.url, two.url])
        store.open("lease")
        for n in range(40):
            store.push("q", [b"%d" % n], priority=1, token=f"{n}")
        here = opened(one.url).counts("q").ready
        assert 0 < here < 40, "pushes are spread"
        store.close()
        two.kill()
        worker = RedisConnector(nodes=[one.url, two.url])
        worker.open("lease")
        worker.join("q", "w", Terms())
        for n in range(40, 50):
            worker.push("q", [b"%d" % n], priority=1, token=f"{n}")
        found: list[bytes] = []
        settlements: list[Done] = []
        for turn in range(1, here + 11):
            taken = worker.exchange("q", "w", turn, turn, settlements, 1, MIB)
            found += [d.payload for d in taken.deliveries]
            settlements = [Done(turn, turn)]
        assert len(set(found)) == here + 10
        two.start()
        turn, until = here + 10, time.monotonic() + 10
        while len(found) < 50 and time.monotonic() < until:
            turn += 1
            taken = worker.exchange("q", "w", turn, len(found) + 1, settlements, 1, MIB)
            found += [d.payload for d in taken.deliveries]
            settlements = [Done(len(found), len(found))] if taken.deliveries else []
            if not taken.deliveries:
                worker.wait([("q", "w")], 0.2)
        assert sorted(found) == sorted(b"%d" % n for n in range(50))


def test_addresses_say_what_is_wrong_with_them_without_the_password() -> None:
    for url, words in (
        ("reddis://:secret@h", 'Did you mean "redis"'),
        ("redis://:secret@h:99999/0", "port"),
        ("redis://a:1,b:2", "nodes="),
        ("redis://:secret@h/zero", "database"),
        ("redis+sentinel://:secret@h", "names no service"),
        ("redis+cluster://:secret@h/3", "only database 0"),
        ("redis://h?tiemout=3", "knows no address option"),
        ("unix://", "names no socket"),
    ):
        with pytest.raises(ConfigError, match=words) as caught:
            RedisConnector(url)
        assert "secret" not in str(caught.value)
    with pytest.raises(ConfigError, match="url and nodes"):
        RedisConnector("redis://h", nodes=["redis://h"])


def test_the_typed_helper_gives_the_use_of_the_connector() -> None:
    use = Redis(url="redis://h:1/2", timeout=3)
    assert use.name == "redis"
    assert use.options == {"url": "redis://h:1/2", "timeout": 3}
    assert RedisConnector(**use.options).describe() == "redis://h:1/2"


def test_of_a_crowd_that_waits_for_one_task_the_first_is_on_time_and_the_last_40_ms_later(
    server: RedisServer,
) -> None:
    store = opened(server.url)
    crowd = [f"w{n:02}" for n in range(20)]
    for consumer in crowd:
        store.join("q", consumer, Terms())
    for consumer in crowd:
        store.exchange("q", consumer, 1, 1, [], 1, MIB)
    store.push("q", [b"1"], priority=1, delay=3.0, token="t")
    earliest, latest = [], []
    for consumer in crowd:
        before = time.monotonic()
        due = store.exchange("q", consumer, 2, 1, [], 1, MIB).next_due
        assert due is not None
        earliest.append(before + due)
        latest.append(time.monotonic() + due)
    assert latest[-1] - earliest[0] > 0.038, "the others let the first begin"
    assert max(earliest) - latest[0] < 0.042
    held = [c for c in crowd if store.exchange("q", c, 3, 1, [], 1, MIB).deliveries]
    assert held == [], "nobody has it before it is due"


def test_who_looks_in_vain_again_and_again_is_still_woken_by_one_push(server: RedisServer) -> None:
    store = opened(server.url)
    for consumer in ("a", "b"):
        store.join("q", consumer, Terms())
    for turn in range(1, 5):
        for consumer in ("a", "b"):
            assert not store.exchange("q", consumer, turn, 1, [], 1, MIB).deliveries
    store.push("q", [b"1", b"2"], priority=1, token="t")
    for consumer in ("a", "b"):
        assert list(store.wait([("q", consumer)], 5.0)) == ["q"], "a mark for each who waits"
        assert len(store.exchange("q", consumer, 5, 1, [], 1, MIB).deliveries) == 1
    assert server.ask("EXISTS", "regiment:{q}:wake", "regiment:{q}:waiting") == 0
