"""The four users of docs/redis.md: each line is typed in word for word, and what the user does and cannot do is tried."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))
from harness.servers import RedisServer, redis
from harness.site import Site
from regiment.contracts import Arrive, Dead, Done, Drop, Join, Keep, Seal, Send, Shut, Terms, When
from regiment.errors import StoreError, StoreUnavailable
from regiment.task import new_id
from regiment_redis.connector import RedisConnector

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/redis.md").read_text()
USERS = {line.split()[2]: line for line in re.findall(r"^ACL SETUSER .*$", PAGE, re.MULTILINE)}
SCRIPTS = ROOT / "plugins/redis_backend/src/regiment_redis/scripts"
LOGIN = {"select", "info", "role", "evalsha", "script|load", "get", "setnx", "sadd"}
DOES = {
    "producer": (LOGIN, "push"),
    "client": (
        LOGIN | {"client|id", "client|unblock", "blpop", "lpop"},
        "push apply relay outbox records listed tallies",
    ),
    "worker": (
        LOGIN | {"client|id", "client|unblock", "set", "del", "pttl", "blpop", "lpop"},
        "push exchange join renew release board counts announce presence lock_take lock_free "
        "apply relay outbox records listed tallies enter",
    ),
    "operator": (
        LOGIN | {"config|get", "smembers"},
        "counts peek purge letters revive drop board post presence records listed tallies "
        "look_ready look_delayed look_leased leases held steer aside back act acts",
    ),
}
"""What each user sends itself, and which scripts it runs."""

OPTIONS = {"limit", "withscores", "count"}
"""Words of the scripts that are written like commands."""


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis() as server:
        for name, line in USERS.items():
            words = line.replace("PASSWORD", f"pass-of-{name}").split()
            assert server.ask(*words) == "OK", line
        yield server


def url(server: RedisServer, user: str) -> str:
    return f"redis://{user}:pass-of-{user}@127.0.0.1:{server.port}/0"


def opened(server: RedisServer, user: str, role: str) -> RedisConnector:
    store = RedisConnector(url(server, user))
    store.open(role)  # type: ignore[arg-type]
    return store


def commands(user: str) -> set[str]:
    """What a line allows."""
    return set(re.findall(r"(?<= \+)[a-z|]+", USERS[user]))


def written(script: str) -> set[str]:
    """The commands in a script and in what it includes."""
    text = (SCRIPTS / f"{script}.lua").read_text()
    found = {word.lower() for word in re.findall(r"'([A-Z]{3,})'", text)} - OPTIONS
    return found.union(*(written(name) for name in re.findall(r"--#(?:include|effects) (\w+)\.lua", text)))


def refused(server: RedisServer) -> list[object]:
    """What the server has refused to anyone so far."""
    log = server.ask("ACL", "LOG")
    assert isinstance(log, list)
    return log


def push_in_every_way(store: RedisConnector) -> None:
    push = store.push
    push("q", [b"1", b"2"], priority=1, token="a", ids=["a", "b"])
    assert list(push("q", [b"1", b"3"], priority=1, token="b", ids=["a", "c"])) == [0]
    assert list(push("q", [b"1", b"3"], priority=1, token="b", ids=["a", "c"])) == [0]
    push("q", [b"1"] * 3, priority=2, token="c")
    push("q", [b"4"], priority=1, delay=60, token="d")
    push("q", [b"6"], priority=1, token=new_id())
    push("q", [b"5"], priority=3, delay=30, token="e")


def test_the_page_has_four_users_and_each_may_do_what_its_scripts_do_and_nothing_else() -> None:
    assert list(USERS) == ["producer", "client", "worker", "operator"]
    for user, (own, scripts) in DOES.items():
        allowed = own.union(*map(written, scripts.split()))
        assert commands(user) <= allowed, f"{user}: too much: {commands(user) - allowed}"
    assert commands("worker") == DOES["worker"][0].union(*map(written, DOES["worker"][1].split()))


def test_a_producer_may_do_exactly_what_a_push_does(server: RedisServer) -> None:
    waiting = opened(server, "worker", "lease")
    waiting.join("q", "w", Terms())
    waiting.exchange("q", "w", 1, 1, [], 5, 1 << 20)  # registers who waits
    server.ask("DEL", "regiment:layout")  # the first of all pushes writes it
    server.ask("CONFIG", "RESETSTAT")
    store = opened(server, "producer", "push")
    push_in_every_way(store)
    assert refused(server) == []
    told = server.ask("INFO", "commandstats")
    assert isinstance(told, bytes)
    used = set(re.findall(r"cmdstat_([a-z]+)", told.decode())) - {"config", "acl"}
    assert used == {name.partition("|")[0] for name in commands("producer")} - {"select"} | {"auth"} & used


@pytest.mark.parametrize(
    "forbidden",
    [
        lambda store: store.exchange("q", "w", 1, 1, [], 5, 1 << 20),
        lambda store: store.peek("q", "ready", 5),
        lambda store: store.dead("q"),
        lambda store: store.purge("q"),
        lambda store: store.queues(),
        lambda store: store.get("k"),
        lambda store: store.set("k", b"v", None),
        lambda store: store.presence(),
        lambda store: store.lock_take("l", "me", 5),
    ],
    ids=["lease", "peek", "dead", "purge", "queues", "get", "set", "presence", "lock"],
)
def test_a_producer_can_only_push(server: RedisServer, forbidden) -> None:  # type: ignore[no-untyped-def]
    opened(server, "worker", "lease").join("q", "w", Terms())
    store = opened(server, "producer", "push")
    push_in_every_way(store)
    with pytest.raises(StoreError, match="this user may not do that") as caught:
        forbidden(store)
    assert not isinstance(caught.value, StoreUnavailable)


def test_a_client_pushes_with_effects_and_waits_for_records(server: RedisServer) -> None:
    store, waiting = opened(server, "client", "push"), opened(server, "client", "follow")
    push_in_every_way(store)
    assert waiting.follow({("q", "k"): 0, ("q", "l"): 0}) == {}
    then = (Keep("k", b"v", 60.0), Send("r", [b"callback"], ids=["c"]))
    effects = [
        Join("q", "j", 2, then, 60.0),
        Arrive("q", "j", 0),
        Arrive("q", "j", 5),
        Join("q", "o", None, then, 60.0),
    ]
    store.apply("q", [*effects, Send("q", [b"1"], delay=9.0, ids=["d"]), Shut("q", "s")], token="a")
    applied = store.apply("q", [Arrive("q", "j", 1), Seal("q", "o", 1), Arrive("q", "o", 0)], token="b")
    assert applied.version > 0 and store.records("q", ["k"]) != [None]
    applied = store.apply(
        "q", [Keep("l", b"v", 60.0, listed=True), Drop(["k"])], token="c", when=[When("k", 9), When("m")]
    )
    assert not applied.done and store.apply("q", [Keep("l", b"v", 60.0, listed=True), Drop(["k"])], token="c").done
    heard = waiting.heard(5.0)
    assert heard and {key for _, key in heard} == {"k", "l"}
    assert (
        store.listed("q") == ["l"]
        and [tally and tally.complete for tally in store.tallies("q", ["j", "o"])] == [True] * 2
    )
    assert refused(server) == []


@pytest.mark.parametrize("user", ["producer", "client", "worker", "operator"])
def test_nobody_of_the_four_reaches_the_server_or_another_prefix(server: RedisServer, user: str) -> None:
    server.ask("SET", "shop:secret", "x")
    store = opened(server, user, "look")
    link = store._store.root.link("")  # type: ignore[union-attr]
    for words in (
        ("FLUSHALL",),
        ("KEYS", "*"),
        ("SCAN", "0"),
        ("CONFIG", "SET", "dir", "/tmp"),
        ("ACL", "LIST"),
        ("SHUTDOWN",),
        ("MONITOR",),
        ("MODULE", "LIST"),
        ("EVAL", "return 1", "0"),
        ("GET", "shop:secret"),
        ("CLIENT", "LIST"),
        ("REPLICAOF", "NO", "ONE"),
        ("PUBLISH", "c", "m"),
        ("RENAME", "regiment:queues", "regiment:layout"),
    ):
        with pytest.raises(StoreError, match="this user may not do that"):
            link.command(*words)


def test_a_worker_enters_beside_what_it_holds(server: RedisServer) -> None:
    """Beside a task that has an id as well with the rights for lanes."""
    store = opened(server, "worker", "lease")
    store.join("q", "w", Terms())
    store.push("q", [b"a"], priority=1, token="a")
    store.push("q", [b"b"], priority=1, token="b", ids=["id"])
    store.exchange("q", "w", 1, 1, [], 2, 1 << 20)
    assert store.enter("q", "w", 1, {"a": b"1"}) == {"a": b"1"} == store.enter("q", "w", 1)
    assert refused(server) == []
    more = re.findall(r"^\| `worker` \| lanes \| `(.*)` \|$", PAGE, re.MULTILINE)[0].split()
    assert server.ask("ACL", "SETUSER", "worker", *more) == "OK"
    assert store.enter("q", "w", 2, {"a": b"2"}) == {"a": b"2"}
    store.exchange("q", "w", 2, 3, [Done(1, 2)], 1, 1 << 20)
    assert refused(server) == []


def test_a_worker_may_do_every_verb_of_a_worker(server: RedisServer) -> None:
    store = opened(server, "worker", "lease")
    push_in_every_way(store)
    store.join("q", "w", Terms())
    taken = store.exchange("q", "w", 1, 1, [], 3, 1 << 20)
    assert len(taken.deliveries) == 3
    first = taken.deliveries[0].receipt
    ends = [Done(first, first), Dead(first + 1, "t", b"{}")]
    store.exchange("q", "w", 2, first + 3, ends, 5, 1 << 20)
    assert store.renew([("q", "w")], 30.0) == []
    assert store.wait([("q", "w")], 0.05) == []
    assert store.board("q").version == 0 and store.counts("q").dead == 1
    store.set("k", b"v", 5)
    assert store.get("k") == b"v" and store.delete("k")
    assert store.lock_take("l", "me", 5) and store.lock_look("l") and store.lock_free("l", "me")
    store.announce("here", b"x", 5)
    assert store.presence() == {"here": b"x"}
    store.release("q", "w", [], {}, close=True)
    assert refused(server) == []
    with pytest.raises(StoreError, match="this user may not do that"):
        store.dead("q")


APP = """
from regiment import Fail

@work.task(max_retries=1)
def stumble(n):
    begin(n)
    raise RuntimeError("once more, and again")

@work.task
def hand_on(n):
    begin(n)
    nap.options(delay=0.2).push(n=1_000_000 + n)
    write("A", 1_000_000 + n)
    end(n)
"""


@pytest.fixture
def store(server: RedisServer) -> str:
    return server.url


@pytest.fixture
def tried(server: RedisServer, tmp_path: Path) -> Iterator[Site]:
    """A site whose trees log in as `worker`, and one dead letter."""
    with Site(tmp_path, server.url) as site:
        site.app("tasks_per_transaction=5, recheck=0.2", body=APP, connector=repr(url(server, "worker")))
        yield site


def test_a_tree_works_as_worker_and_an_operator_sees_to_its_letters(server: RedisServer, tried: Site) -> None:
    tree = tried.tree(workers=2)
    numbers = tried.push_many([{"seconds": 0.01}] * 50)
    parents = [tried.push("hand_on") for _ in range(3)]
    stumbled = tried.push("stumble")
    tried.ended(*numbers, *parents, *(1_000_000 + n for n in parents), within=30)
    tried.store.quiet(20)
    os.kill(tree.workers()[0], 9)
    tree.event("worker.crashed", within=10)
    tried.push("nap", seconds=0.01)
    tried.store.quiet(20)
    assert list(tried.store.dead()) == [stumbled]
    assert refused(server) == [], "the tree tried what it may not do"

    def operate(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "regiment", *words, "--connector", url(server, "operator")],
            cwd=tried.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0 and "may not" not in done.stderr, done.stdout + done.stderr
        return done.stdout

    assert "work" in operate("queues")
    assert "once more" in operate("dead", "list", "work")
    operate("workers")
    operate("dead", "replay", "work")
    tried.store.quiet(20)
    assert list(tried.store.dead()) == [stumbled]
    operate("dead", "purge", "work", "--yes")
    assert list(tried.store.dead()) == []
    assert tree.stop() == 0
    tried.push("nap")
    operate("queues", "purge", "work", "--yes")
    assert tried.store.counts().ready == 0
    assert refused(server) == []


def look_and_steer(worker: RedisConnector, store: RedisConnector) -> None:
    """Whatever the extra `steer` has: also for a task deep inside its list, and for one with an id."""
    worker.push("q", [b"x"] * 6000, priority=7, token="deep")
    worker.push("q", [b"y"], priority=1, delay=90, token="later", ids=["y"])
    seen = {state: store.look("q", state, 9000).tasks for state in ("ready", "delayed", "leased")}  # type: ignore[arg-type]
    deep = [task.place for task in seen["ready"] if task.priority == 7][3000:3002]
    assert store.steer("q", deep[:1], drop=True) and store.steer("q", deep[1:], delay=60.0)
    [named] = [task.place for task in seen["delayed"] if task.payload == b"y"]
    assert store.steer("q", [named], priority=3) and store.steer("q", [named], drop=True)
    store.post("q", orders={"host:a": "quiet", "host:b": "drain"}, cancel=["u"])
    store.post("q", orders={"host:a": None}, clear=["u"])
    assert dict(store.board("q").orders) == {"host:b": "drain"}
    store.act("q", b"{}", token="a")
    assert len(store.acts("q")) == 1 and len(store.counts_many(["q", "r"])) == 2


def test_an_operator_may_do_every_verb_of_an_operator(server: RedisServer) -> None:
    worker = opened(server, "worker", "lease")
    push_in_every_way(worker)
    worker.join("q", "w", Terms())
    first = worker.exchange("q", "w", 1, 1, [], 2, 1 << 20).deliveries[0].receipt
    ends = [Dead(first, "t", b"{}"), Dead(first + 1, "u", b"{}")]
    worker.exchange("q", "w", 2, first + 2, ends, 1, 1 << 20)
    store = opened(server, "operator", "look")
    assert store.queues() == ["q"] and store.counts("q").dead == 2
    assert {one.state for state in ("ready", "delayed", "leased") for one in store.peek("q", state, 9)} == {
        "ready",
        "delayed",
        "leased",
    }
    letters = store.dead("q")
    assert store.letters("q", letters[0].task_id) == letters[:1]
    assert store.revive("q", {letters[0].id: None}) == 1
    assert store.drop("q", [letters[1].id]) == 1 and store.drop("q", None) == 0
    store.post("q", paused=True, cancel=["t"])
    store.post("q", paused=False, clear=["t"])
    assert store.board("q").cancelled == frozenset()
    assert store.presence() == {}
    store.warnings()
    look_and_steer(worker, store)
    assert store.purge("q") > 0
    assert refused(server) == []
    for forbidden in (lambda: store.get("k"), lambda: store.lock_take("l", "me", 5)):
        with pytest.raises(StoreError, match="this user may not do that"):
            forbidden()
