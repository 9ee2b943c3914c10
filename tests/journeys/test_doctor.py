"""`regiment doctor`: each rule is produced by what it is for, and says what to do."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from pymongo import MongoClient

from harness import mongod, servers
from harness.store import connector
from harness.wait import alive, eventually, state_of
from regiment import Queue, __version__
from regiment.contracts import Counts, Examined, Finding, Park, Terms
from regiment_console import fleet
from regiment_console.doctor import _there, examined
from regiment_local import checks as local
from regiment_local import files
from regiment_mongo import checks as mongo
from regiment_redis import checks as redis
from regiment_runner.shared import process
from regiment_runner.verbs import checks as host

ROOT = Path(__file__).parents[2]
APP = """
from regiment import Queue, Retry, Timeouts
q = Queue("q", {settings})

@q.task
def again():
    raise Retry(delay=1)
"""


def said(answer) -> dict[str, dict[str, str]]:
    """What each rule said in JSON, the worst of it."""
    found = {}
    for one in answer.document["findings"]:
        found.setdefault(one["rule"], one)
    return found


def seen(found: Iterator[Finding | None] | Finding | None) -> dict[str, tuple[str, str]]:
    """Rule -> level and text."""
    some = [found] if isinstance(found, Finding) else found or ()
    return {one.rule: (one.level, one.text) for one in some if one is not None}


def test_a_folder_where_nothing_was_done_is_well(cli):
    answer = cli("doctor")
    assert answer.code == 0
    assert re.fullmatch(r"all is well: \d+ rules found nothing\n", answer.out)
    assert sorted(path.name for path in cli.folder.iterdir()) == ["hello.py"], "looking creates nothing"


def test_tasks_that_nobody_serves_fail_and_say_what_to_start(cli):
    cli("push", "hello:greet", "name=you")
    answer = cli("doctor")
    assert answer.code == 1
    assert re.search(
        r'^fail    F01  "hello" has 1 ready task, the oldest [\d.]+ s, and no living worker$', answer.out, re.M
    )
    assert 'start one: regiment run TARGET; delete them: regiment queues purge "hello"' in answer.out


def test_rules_can_be_chosen_and_left_out_and_a_warning_can_count(cli):
    cli("push", "hello:divide")
    cli("run", "hello", "--burst")
    assert cli("doctor").code == 0
    assert cli("doctor", "--strict").code == 1
    assert cli("doctor", "--strict", "--skip", "F04").code == 0
    assert {one["rule"] for one in cli("doctor", "--only", "F04", "--json").document["findings"]} == {"F04"}
    wrong = cli("doctor", "--only", "F40")
    assert (wrong.code, wrong.out) == (2, "")
    assert cli("doctor", "--only", "f01").code == 0, "in any case"
    assert re.search(r'no rule "F40" applies here\. Did you mean "F\d\d"\? Rules that do: C06, C07, F01, ', wrong.err)


def test_a_store_that_does_not_answer_is_another_exit_code(cli):
    answer = cli("doctor", "--connector", f"redis://127.0.0.1:{servers.free_port()}")
    assert answer.code == 4
    assert answer.out.startswith("fail    ST01  the store does not answer: ")
    assert "found nothing" in answer.out, "this host is looked at all the same"


def test_what_died_of_late_is_named_by_its_most_frequent_kind(cli):
    cli("push", "hello:divide")
    cli("run", "hello", "--burst")
    one = said(cli("doctor", "--json"))["F04"]
    assert one["level"] == "warn"
    assert one["text"] == '"hello": 1 task died in the last hour, 1 × ZeroDivisionError in divide'
    shown = cli(*one["remedy"].split(";")[0].removeprefix("regiment ").split())
    assert "ZeroDivisionError" in shown.out, "the remedy works as it stands"


def test_nearly_as_many_letters_as_are_kept_is_a_warning(cli):
    cli.write("app.py", APP.format(settings="dead_limit=1"))
    cli("push", "app:again")
    cli("run", "app", "--burst")
    assert said(cli("doctor", "app", "--json"))["F05"]["text"].startswith('"q" has 1 dead letters of at most 1: ')


def test_a_task_that_has_ended_workers_is_named(tmp_path):
    queue = Queue("q", connector=f"sqlite:///{tmp_path}/q.db")
    store = connector(f"sqlite:///{tmp_path}/q.db", "lease")
    with contextlib.closing(store):
        number = queue.options(name="bad").push().id
        store.join("q", "c", Terms())
        store.exchange("q", "c", 1, 1, [], 1, 1 << 20)
        store.release("q", "c", [], {1: b"crashed"}, close=True)
        found = list(fleet.killers(store, "q", store.counts("q")))
    assert [(one.rule, one.text) for one in found] == [("F07", f'"q": the task {number} has ended 1 worker')]


def test_a_paused_queue_is_named_with_what_waits(tmp_path):
    store = connector(f"sqlite:///{tmp_path}/q.db", "push")
    with contextlib.closing(store):
        store.push("q", [b"x"], priority=1, token="t")
        store.post("q", paused=True)
        found = seen(fleet.rules(Examined(store, {})))
    assert found["F12"] == ("warn", '"q" is paused, with 1 ready task')
    assert found["F01"][0] == "ok", "nobody is to serve it now"


def test_what_no_worker_knows_is_a_warning_while_it_is_parked(tmp_path):
    store = connector(f"sqlite:///{tmp_path}/q.db", "lease")
    with contextlib.closing(store):
        store.push("q", [b"x"], priority=1, token="t")
        store.join("q", "c", Terms())
        store.exchange("q", "c", 1, 1, [], 1, 1 << 20)
        store.exchange("q", "c", 2, 2, [Park(1, 60.0)], 0, 1 << 20)
        found = seen(fleet.rules(Examined(store, {})))
    assert re.fullmatch(
        r'"q": 1 task parked, as no worker knows what they are; the first for [\d.]+ s', found["F06"][1]
    )


def test_who_paused_a_queue_is_named(cli):
    cli("push", "hello:greet", "name=you")
    cli("queues", "pause", "hello", "--reason", "deploy")
    text = said(cli("doctor", "--json"))["F12"]["text"]
    assert re.fullmatch(r'"hello" is paused by \S+@\S+ [\d.]+ m?s ago: deploy, with 1 ready task', text), text


def test_tasks_that_wait_long_although_there_are_workers_are_a_warning():
    counts = Counts(ready=30, oldest=400.0)
    assert fleet.old("q", counts, (2, 1.5)).text == (
        '"q": the oldest of 30 ready tasks waits for 6 m; 2 workers, 1.5/s, empty in 20 s if nothing comes'
    )
    assert fleet.old("q", counts, (2, 0.0)).text.endswith("2 workers, 0.0/s, none of them has ended anything of late")
    assert fleet.old("q", counts, (0, 0.0)) is None, "F01 says that"


def test_a_slow_store_is_a_warning(tmp_path, monkeypatch):
    store = connector(f"sqlite:///{tmp_path}/q.db", "push")
    monkeypatch.setattr(fleet, "SLOW", 0.0)
    with contextlib.closing(store):
        assert seen(fleet.answers(store))["ST02"][0] == "warn"


def test_a_store_that_a_newer_release_has_made_is_refused_as_such(cli):
    cli("push", "hello:greet", "name=you")
    with contextlib.closing(sqlite3.connect(cli.folder / ".regiment" / "queue.db")) as file:
        file.execute("PRAGMA user_version = 99")
    answer = cli("doctor")
    assert answer.code == 1
    assert re.search(
        r"^fail    ST04  .* has layout 99, made by a newer regiment; this one knows layout ", answer.out, re.M
    )


# What trees tell of themselves

CODE = """
import os
from regiment import Queue, __version__
q = Queue("q", {settings})

@q.task
def crash() -> None:
    os.kill(os.getpid(), 11)

@q.task
def nap(seconds: float) -> None:
    __import__("time").sleep(seconds)
"""


def test_hosts_that_run_other_code_of_a_target_are_named(cli, read_until):
    cli.write("app.py", CODE.format(settings=""))
    first = cli.start("run", "app")
    read_until(first, "worker.ready")
    (cli.folder / "app.py").write_text(CODE.format(settings="max_retries=1"))
    second = cli.start("run", "app")
    read_until(second, "worker.ready")
    assert eventually(lambda: said(cli("doctor", "--json"))["F08"]["level"] == "warn", 30)
    text = said(cli("doctor", "--json"))["F08"]["text"]
    here = os.uname().nodename
    assert re.fullmatch(
        rf"{here}:{first.pid} runs other code of app:q than {here}:{second.pid}, which runs its own since [\d.]+ m?s",
        text,
    )


def test_crashes_of_the_last_hour_are_counted_for_their_target(cli, read_until):
    cli.write("app.py", CODE.format(settings="max_deliveries=1"))
    cli("push", "app:crash")
    run = cli.start("run", "app")
    read_until(run, "worker.crashed")
    read_until(run, "worker.ready")
    assert eventually(lambda: said(cli("doctor", "--json"))["F11"]["level"] == "warn", 40)
    assert said(cli("doctor", "--json"))["F11"]["text"] == "app:q: 1 worker crashed in the last hour, 0 for memory"


def test_what_a_tree_that_is_gone_had_on_lease_is_named(cli, read_until, wait_for):
    cli.write("app.py", CODE.format(settings=""))
    cli("push", "app:nap", "seconds:=60")
    run = cli.start("run", "app")
    read_until(run, "worker.ready")
    wait_for(lambda: cli.counts("q").get("leased") == 1, 20)
    assert said(cli("doctor", "--json"))["F13"]["level"] == "ok"
    members = [run.pid, *(child.pid for child in psutil.Process(run.pid).children(recursive=True))]
    for pid in members:
        os.kill(pid, signal.SIGSTOP)  # so that the keeper gives nothing back
    for pid in members:
        os.kill(pid, signal.SIGKILL)
    run.wait()
    # What it told of itself is believed until its time is over.
    assert eventually(lambda: said(cli("doctor", "--json"))["F13"]["level"] == "warn", 90)
    one = said(cli("doctor", "--json"))["F13"]
    assert (one["level"], one["text"]) == (
        "warn",
        f'workers of "q" on {os.uname().nodename[:20]} are gone, with 1 task on lease',
    )


def test_a_queue_with_nearly_the_name_of_one_whose_workers_have_nothing_is_named(cli, read_until, wait_for):
    run = cli.start("run", "hello")
    read_until(run, "worker.ready")
    cli.write("typo.py", "from regiment import Queue\nq = Queue('helo')\n@q.task\ndef f(): ...\n")
    cli("push", "typo:f")
    wait_for(lambda: cli.counts("helo").get("ready") == 1, 20)
    assert eventually(lambda: said(cli("doctor", "--json"))["F02"]["level"] == "warn", 30)
    text = said(cli("doctor", "--json"))["F02"]["text"]
    assert re.fullmatch(
        r'1 worker of "hello" had nothing in [\d.]+ m?s, and "helo" has 1 ready task and no worker: is it the same name\?',
        text,
    )


def tell(store: Any, host: str, **more: Any) -> None:
    """Say that a tree on another host serves "q"; no other release can be installed beside this one."""
    known = {"label": "app:q", "queue": "q", "code": "1", "since": 1.0, "ends": {}, "tasks": ["f"], "reads": ["json"]}
    worker = {"worker": "w1", "pid": 2, "queue": "q", "tasks": 1, "rate": 0.0, "target": 0}
    tree = {"host": host, "pid": 1, "release": "", "regiment": __version__, "plugins": ["cli"], "targets": [known]}
    store.announce(f"{host}:1", json.dumps({**tree, "workers": [worker], **more}).encode(), 60.0)


def test_other_releases_and_plugins_that_some_hosts_lack_are_named(tmp_path):
    store = connector(f"sqlite:///{tmp_path}/q.db", "push")
    with contextlib.closing(store):
        tell(store, "web1")
        assert seen(fleet.rules(Examined(store, {})))["F09"][0] == "ok"
        tell(store, "web2", regiment="9.0.0", plugins=["cli", "results"])
        found = [one.text for one in fleet.rules(Examined(store, {})) if one.rule == "F09"]
    assert found == [
        f"regiment {__version__} is here, and 9.0.0 on web2:1",
        "not all that serve app:q have the same plugins: web1:1 lacks results",
    ]


def test_messages_that_a_host_cannot_read_fail(tmp_path):
    url = f"sqlite:///{tmp_path}/q.db"
    Queue("q", connector=url, serializer="msgpack").options(name="f").push()
    store = connector(url, "push")
    with contextlib.closing(store):
        tell(store, "web1")
        found = seen(fleet.rules(Examined(store, {})))
    assert found["F10"] == ("fail", "1 task of \"q\" is written with 'msgpack', which web1:1 cannot read")


def test_what_is_parked_says_who_knows_it(tmp_path):
    url = f"sqlite:///{tmp_path}/q.db"
    store = connector(url, "lease")
    with contextlib.closing(store):
        Queue("q", connector=url).options(name="f").push()
        store.join("q", "c", Terms())
        store.exchange("q", "c", 1, 1, [], 1, 1 << 20)
        store.exchange("q", "c", 2, 2, [Park(1, 60.0)], 0, 1 << 20)
        assert "most of them 'f' (known nowhere)" in seen(fleet.rules(Examined(store, {})))["F06"][1]
        tell(store, "web1")
        assert "most of them 'f' (known on web1:1)" in seen(fleet.rules(Examined(store, {})))["F06"][1]


def test_tasks_that_take_longer_than_those_behind_them_wait_are_leased_one_by_one(cli):
    cli.write("app.py", CODE.format(settings="tasks_per_transaction=5, give_back_after=0.1"))
    cli("push", "app:nap", "seconds:=0.4")
    assert said(cli("doctor", "app", "--json"))["C05"]["level"] == "ok"
    cli("run", "app", "--burst")
    one = said(cli("doctor", "app", "--json"))["C05"]
    assert (one["level"], one["remedy"]) == ("warn", "tasks_per_transaction=1")
    assert re.match(r"app:q: 5 tasks are leased at a time, and one takes 0\.[4-9] s on average: ", one["text"]), one


def test_a_message_that_is_nearly_too_large_is_named(cli):
    cli.write("app.py", CODE.format(settings="payload_limit=1000"))
    cli("push", "app:nap", f"seconds={'x' * 700}")
    text = said(cli("doctor", "app", "--json"))["C06"]["text"]
    assert re.fullmatch(r'"q" has a message of 7\d\d bytes, 7\d% of payload_limit', text)


# Redis


def test_what_a_redis_says_of_itself_is_judged():
    with servers.redis() as server:
        for name, value in (
            ("maxmemory-policy", "allkeys-lru"),
            ("appendonly", "no"),
            ("save", ""),
            ("maxmemory", "1mb"),
        ):
            server.ask("CONFIG", "SET", name, value)
        store = connector(f"redis://127.0.0.1:{server.port}/0", "look")
        with contextlib.closing(store):
            found = seen(redis.rules(Examined(store, {})))
    assert {rule: level for rule, (level, _) in found.items()} == {
        "ST03": "ok",
        "R01": "fail",
        "R02": "warn",
        "R03": "fail",
        "R04": "ok",
        "R05": "ok",
    }
    assert found["R01"][1].endswith(
        "has maxmemory-policy allkeys-lru: it deletes what regiment keeps when memory is short"
    )
    assert found["R02"][1].endswith("writes nothing to disk")


def test_a_redis_that_hides_its_configuration_is_unknown_and_not_wrong():
    with servers.redis() as server:
        server.ask("ACL", "SETUSER", "default", "-config")
        store = connector(f"redis://127.0.0.1:{server.port}/0", "look")
        with contextlib.closing(store):
            found = seen(redis.rules(Examined(store, {})))
    assert (found["R01"][0], found["R02"][0]) == ("unknown", "unknown")


def test_a_cluster_is_asked_server_by_server():
    with servers.cluster() as members:
        store = connector(f"redis+cluster://127.0.0.1:{members[0].port}", "push")
        with contextlib.closing(store):
            found = list(redis.rules(Examined(store, {})))
            store.push("busy", [b"x"] * redis.MANY, priority=1, token="s")
            store.push("quiet", [b"x"], priority=1, token="t")
            crowded = seen(redis.crowded(store))["R06"]
    assert [one.rule for one in found].count("R01") == len(members)
    assert (seen(iter(found))["R06"][0], seen(iter(found))["R07"][0]) == ("ok", "ok")
    assert crowded[0] == "warn"
    assert re.fullmatch(
        r'"busy" has 100% of 1,001 tasks, and all of a queue lies on one server of the cluster: \S+', crowded[1]
    )


def test_a_replica_that_was_named_fails():
    with servers.redis() as primary, servers.redis() as replica:
        replica.ask("REPLICAOF", "127.0.0.1", str(primary.port))
        store = connector(f"redis://127.0.0.1:{replica.port}/0", "look")
        with contextlib.closing(store):
            assert seen(redis.rules(Examined(store, {})))["R07"][0] == "fail"


def test_the_rest_of_the_rules_of_redis_say_what_they_saw():
    assert redis.clock("r", (b"1000", b"0"), lambda: 1003.0).level == "warn"
    assert redis.clock("r", (b"1000", b"0"), lambda: 990.0).text.startswith(
        "this host's clock is 10.0 s behind that of r: "
    )
    assert redis.written("r", "err", "ok").text == "r could not write its append-only file the last time"
    assert redis.clients("r", 90, 100).text == "r has 90 connections of at most 100"
    assert redis.slots("fail", "10923").text == "the cluster's state is fail: 5,461 of 16,384 slots have no server"


# MongoDB


def test_what_a_mongod_says_of_itself_is_judged():
    with mongod.address() as url:
        mongod.empty(url, "doctor")
        named = mongod.with_database(url, "doctor")
        store = connector(named, "push")
        with contextlib.closing(store):
            found = seen(mongo.rules(Examined(store, {})))
            assert found["M01"] == ("warn", found["M01"][1])
            assert "1 data-bearing member" in found["M01"][1]
            assert {found[rule][0] for rule in ("ST03", "M02", "M03", "M04")} == {"ok"}
            with MongoClient(named) as client:
                client.get_default_database()["regiment.tasks"].drop_indexes()
            assert seen(mongo.rules(Examined(store, {})))["M04"][0] == "fail"


def test_the_rest_of_the_rules_of_mongodb_say_what_they_saw():
    now = datetime.now(UTC)
    assert mongo.clock("m", now - timedelta(seconds=30), now).level == "fail"
    assert mongo.members("m", 0).text == "m is a stand-alone server: acknowledged tasks survive no lost disk"
    assert (
        mongo.concern("m", "journal").text
        == "pushes to m wait for write concern 'journal' alone: a failover can lose them"
    )
    assert mongo.log_held("m", 0, 7200, 0.99).text.startswith("the oplog of m holds 2.0 h: ")
    assert mongo.log_held("m", 0, 7200, 0.1).level == "ok", "it has lost nothing yet"


# The embedded file


def test_a_file_on_a_network_is_refused_as_such(tmp_path, monkeypatch):
    """The kind of file system that this folder is on takes the place of one that no test can have."""
    connector(f"sqlite:///{tmp_path}/q.db", "push").close()
    monkeypatch.setitem(files.NETWORK, files.file_system(str(tmp_path)), "NFS")
    _, found = examined([], None, f"sqlite:///{tmp_path}/q.db", False)
    [one] = [one for one in found if one.rule in ("L01", "ST01")]
    assert (one.rule, one.level) == ("L01", "fail")
    assert one.text.startswith(f"{tmp_path} is on a NFS file system, where SQLite's locks do not hold")


def test_other_files_of_queues_near_by_are_named(cli):
    cli("push", "hello:greet", "name=you")
    (cli.folder / "sub").mkdir()
    cli(
        "push",
        "hello:greet",
        "name=you",
        cwd=cli.folder,
        REGIMENT_CONNECTOR=f"sqlite:///{cli.folder}/sub/.regiment/queue.db",
    )
    one = said(cli("doctor", "--json"))["L05"]
    assert one["text"].startswith("there is another file of queues near ")
    assert f"{cli.folder}/sub/.regiment/queue.db" in one["text"]


def test_a_damaged_file_is_found_by_a_deep_look(cli):
    cli("push", "hello:greet", "name=you")
    path = cli.folder / ".regiment" / "queue.db"
    store = connector(f"sqlite:///{path}", "push")
    store.push("hello", [os.urandom(3000) for _ in range(200)], priority=1, token="t")
    store.close()
    assert said(cli("doctor", "--deep", "--json"))["L06"]["level"] == "ok"
    size = path.stat().st_size
    with open(path, "r+b") as file:
        for at in range(8192, size, 4096):  # the head of each page but the first two
            file.seek(at)
            file.write(os.urandom(64))
    assert local.whole(str(path)).level == "fail"
    assert "L06" not in said(cli("doctor", "--json")), "that takes long, and has to be asked for"


def test_the_rest_of_the_rules_of_the_file_say_what_they_saw(tmp_path):
    assert (
        local.of_system("/dev/shm/x", local.TMPFS).text
        == "/dev/shm/x is in memory (tmpfs): the tasks are gone at the next boot"
    )
    assert local.room("/q.db", 10 * 1024**2).level == "fail"
    assert local.room("/q.db", 500 * 1024**2).text.startswith("500 MiB are left on the disk of /q.db; ")
    (tmp_path / "q.db-wal").touch()
    os.truncate(tmp_path / "q.db-wal", 1024**3)
    assert local.log_of(str(tmp_path / "q.db"), 64 * 1024**2).text.startswith(f"{tmp_path}/q.db-wal has 1,024 MiB: ")


# Targets


@pytest.mark.parametrize(
    ("settings", "rule", "level", "text"),
    [
        ("lease=6.0, max_retries=1", "C02", "warn", "app:q: lease is 6 s"),
        (
            "timeouts=Timeouts(600), max_retries=1",
            "C03",
            "warn",
            "app:q: a task may run for 601 s, and a stop waits 25 s",
        ),
        ("max_retries=0", "C04", "warn", "app:q: task 'again' raises Retry in line "),
        ("max_retries=1, serializer='nowhere'", "C07", "fail", "app:q: "),
        ("max_retries=1, dead_limit=0", "C01", "fail", "app:q: "),
    ],
)
def test_what_is_wrong_with_a_target_is_a_finding(cli, settings, rule, level, text):
    cli.write("app.py", APP.format(settings=settings))
    one = said(cli("doctor", "app", "--json"))[rule]
    assert (one["level"], one["text"][: len(text)]) == (level, text)


def test_a_target_that_cannot_be_imported_is_a_finding_beside_the_others(cli):
    cli.write("broken.py", "import nowhere_at_all")
    cli("push", "hello:greet", "name=you")
    answer = cli("doctor", "broken", "--json")
    assert answer.code == 1
    assert (said(answer)["C01"]["level"], said(answer)["F01"]["level"]) == ("fail", "fail")
    assert "nowhere_at_all" in said(answer)["C01"]["text"]


def test_a_plugin_that_was_named_and_is_broken_fails(cli):
    cli.write("broken.py", "raise RuntimeError('no')")
    one = said(cli("doctor", "--json", "--plugin", "broken"))["C07"]
    assert one["level"] == "fail"
    assert "broken" in one["text"]


# This host


def test_a_shell_before_the_supervisor_fails():
    assert host.under_a_shell(7, 1, "sh").text.startswith("process 1 is sh, and the supervisor 7 is its child: ")
    assert host.under_a_shell(7, 5, "sh") is None
    assert host.under_a_shell(7, 1, "tini") is None


def test_a_process_with_nearly_all_its_descriptors_is_named():
    program = "import os, resource; resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20)); [os.dup(0) for _ in range(15)]; print(1, flush=True); input()"
    child = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with child:
        assert child.stdout is not None
        child.stdout.readline()
        assert host.descriptors(child.pid).text == f"process {child.pid} has 18 files open of 20 that it may"
        child.stdin.close() if child.stdin else None
    assert host.descriptors(os.getpid()) is None


def test_a_stopped_worker_is_named():
    child = subprocess.Popen(["sleep", "60"])
    try:
        assert host.stopped(child.pid) is None
        child.send_signal(signal.SIGSTOP)
        eventually(lambda: state_of(child.pid) == "T", 10)
        assert host.stopped(child.pid).text == (
            f"the worker {child.pid} is stopped (SIGSTOP); the limits of its tasks go on"
        )
    finally:
        child.kill()
        child.wait()
    assert not alive(child.pid)


def test_a_control_group_without_room_is_a_warning(tmp_path):
    (tmp_path / "memory.max").write_text("104857600\n")
    (tmp_path / "memory.current").write_text("99614720\n")
    (tmp_path / "cpu.stat").write_text("usage_usec 1\nnr_periods 100\nnr_throttled 40\n")
    assert host.memory(tmp_path).text.startswith(f"the control group {tmp_path} uses 95 of 100 MiB: ")
    assert host.throttled(tmp_path).text.startswith(
        f"the control group {tmp_path} was held back in 40% of its periods: "
    )
    (tmp_path / "memory.max").write_text("max\n")
    assert host.memory(tmp_path).level == "ok"


def test_what_a_host_must_allow_and_have_is_looked_at():
    def refused() -> None:
        raise PermissionError(1, "Operation not permitted")

    assert (
        host.allowed(refused).text
        == "pidfd_open, eventfd or PR_SET_PDEATHSIG is not allowed here (Operation not permitted): no tree can start, or it leaves orphans"
    )
    assert host.allowed(process.hears_of_the_end).level == "ok"
    assert host.room("/run/user/0/regiment", 1024**2).text.startswith("1 MiB are left at /run/user/0/regiment, ")


def test_pages_that_a_logout_deletes_are_a_warning():
    assert host.emptied("/dev/shm/regiment-1000", 1000, True, False).text == (
        "systemd empties /dev/shm when user 1000 logs out (RemoveIPC), and pages of workers lie in /dev/shm/regiment-1000"
    )
    assert host.emptied("/dev/shm/regiment-1000", 1000, True, True) is None, "it lingers"
    assert host.emptied("/dev/shm/regiment-999", 999, True, False) is None, "no person"
    assert host.emptied("/run/user/1000/regiment", 1000, True, False) is None


# Plugins


PLUGIN = """
from regiment.contracts import Finding
from regiment.hooks import hookimpl

@hookimpl
def regiment_checks(examined):
    {body}
"""


def test_a_plugin_adds_a_rule(cli):
    cli.write(
        "more.py",
        PLUGIN.format(body='return [Finding("X01", "warn", f"{len(examined.targets)} targets", "name more")]'),
    )
    assert "warn    X01  1 targets\n        → name more\n" in cli("doctor", "hello", "--plugin", "more").out


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("1 / 0", "could not look: ZeroDivisionError: division by zero"),
        ("return ['x']", "could not look: TypeError: regiment_checks gave 'x'; expected a Finding with a level of "),
    ],
)
def test_a_plugin_that_cannot_look_hides_no_other(cli, body, why):
    cli.write("more.py", PLUGIN.format(body=body))
    cli("push", "hello:greet", "name=you")
    answer = cli("doctor", "--plugin", "more")
    assert "fail    F01" in answer.out
    assert why in answer.out


# The page


def test_the_page_has_every_rule_and_no_other():
    table = re.findall(r"^\| ([A-Z]+\d\d) \|", (ROOT / "docs/doctor.md").read_text(), re.M)
    sources = [
        path
        for path in ROOT.glob("plugins/*/src/*/**/*.py")
        if path.name in ("fleet.py", "hosts.py", "costs.py", "doctor.py", "checks.py", "files.py", "laying.py")
    ]
    rules = {rule for path in sources for rule in re.findall(r'"([A-Z]{1,2}\d\d)"', path.read_text())}
    assert sorted(table) == sorted(rules)


def test_remedies_look_at_the_store_that_an_option_chose(cli, tmp_path):
    url = f"sqlite:///{tmp_path}/other.db"
    cli("push", "hello:greet", "name=Ada", REGIMENT_CONNECTOR=url)
    cli("queues", "pause", "hello", "--connector", url)
    remedy = said(cli("doctor", "--json", "--connector", url))["F12"]["remedy"]
    assert remedy == f'regiment queues resume --connector {url} "hello"'
    assert cli("queues", "resume", "--connector", url, "hello").code == 0
    cli("queues", "pause", "hello")
    assert said(cli("doctor", "--json", "-A", "hello"))["F12"]["remedy"] == 'regiment queues resume -A hello "hello"'
    assert said(cli("doctor", "--json"))["F12"]["remedy"] == 'regiment queues resume "hello"'


def test_a_remedy_repeats_no_password():
    assert (
        _there("regiment dead list --group", None, "redis://:hunter2@h/0")
        == "regiment dead list --connector URL --group"
    )
