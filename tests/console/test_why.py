"""`regiment why`: each reason, produced in a real store."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from console.conftest import Desk
from harness.wait import eventually
from regiment.contracts import Again, Dead, Park


def reasons(desk: Desk, id: str) -> list[str]:
    """The reasons, first the first; ages as `T`."""
    answer = desk("why", id)
    assert answer.code == 0, answer
    return [re.sub(r"\d+(\.\d)? (s|m)\b", "T", line.strip()) for line in answer.out.splitlines()[1:]]


def here() -> str:
    return os.uname().nodename


def test_a_task_whose_queue_is_paused_says_who_paused_it_and_why(desk: Desk, me: str):
    desk.send.options(id="t").push()
    desk("queues pause mail --reason", "new mail server")
    assert desk("why t").out.splitlines()[0] == 'send t of "mail" is ready'
    assert reasons(desk, "t") == [
        f'"mail" is paused by {me} T ago: new mail server; regiment queues resume mail',
        'no living worker serves "mail": regiment run TARGET',
    ]


def test_a_task_whose_queue_nobody_serves_says_so(desk: Desk):
    desk.send.options(id="t").push()
    assert reasons(desk, "t") == ['no living worker serves "mail": regiment run TARGET']


def test_a_task_whose_workers_are_told_to_be_quiet_says_by_whom(desk: Desk, me: str):
    desk.send.options(id="t").push()
    desk.serve("web1", 7)
    desk.serve("web2", 8)
    desk("workers quiet web1")
    assert "next to be leased" in reasons(desk, "t")[0], "web2 goes on"
    desk("workers drain web2:8")
    assert reasons(desk, "t") == [
        f"all workers of its queue are told to drain or quiet by {me} T ago: web1:7, web2:8; regiment workers resume web1 web2"
    ]


def test_a_cancelled_task_says_by_whom(desk: Desk, me: str):
    desk.send.options(id="t").push()
    desk.send.options(id="u").push()
    desk("tasks cancel t --yes --reason twice")
    assert reasons(desk, "t")[0] == f"cancelled by {me} T ago: twice; it ends without a run when its turn comes"
    assert "cancelled" not in reasons(desk, "u")[0]
    desk.lease(f"{here()}.{os.getpid()}.aa")
    assert reasons(desk, "t")[0] == f"cancelled by {me} T ago: twice; its worker is told to stop it"


def test_an_expired_task_says_that_it_will_not_run(desk: Desk):
    desk.send.options(id="t", expires=0.01).push()
    time.sleep(0.05)
    assert re.match(r"expired at .* UTC \(T ago\): it ends without a run when its turn comes", reasons(desk, "t")[0])


def test_a_task_that_no_worker_knows_says_that_it_is_parked(desk: Desk):
    desk.send.options(id="t").push()
    [delivery] = desk.lease("web1.9.aa")
    desk.lease("web1.9.aa", 0, Park(delivery.receipt, 40.0))
    desk.serve()
    assert reasons(desk, "t") == ["parked for T: a worker lacks the name 'send'; offered again in T"]
    assert desk.states() == {"t": "parked"}


def test_a_task_that_ends_its_workers_says_how_often_and_how(desk: Desk):
    desk.send.options(id="t").push()
    desk.serve()
    note = json.dumps({"kind": "crash", "reason": "killed by SIGKILL"}).encode()
    [delivery] = desk.lease("web1.9.aa")
    desk.store.release("mail", "web1.9.aa", [], {delivery.receipt: note}, close=True)
    assert reasons(desk, "t")[0] == "a run of it has ended its worker once, the last time: killed by SIGKILL"
    [delivery] = desk.lease("web1.10.aa")
    desk.store.release("mail", "web1.10.aa", [], {delivery.receipt: note}, close=True)
    assert (
        reasons(desk, "t")[0]
        == "a run of it has ended its worker twice, the last time: killed by SIGKILL; runs again in T"
    )
    desk("tasks run t")
    assert (
        reasons(desk, "t")[1]
        == "suspected of ending its workers: its last run is alone, when a worker has no other task"
    )


def test_a_task_that_failed_says_when_it_is_tried_again(desk: Desk):
    desk.send.options(id="t").push()
    desk.serve()
    [delivery] = desk.lease("web1.9.aa")
    task = desk.mail.broker.codec.decode(delivery.payload, "mail")
    task.run_count = 2
    desk.lease("web1.9.aa", 0, Again(delivery.receipt, desk.mail.broker.codec.encode(task), 50.0))
    assert reasons(desk, "t") == ["failed twice: retry 2 in T"]
    assert desk.states() == {"t": "retrying"}


def test_a_delayed_task_says_when_it_is_due_and_that_nobody_looked_since(desk: Desk):
    desk.send.options(id="later", delay=300).push()
    desk.send.options(id="now", delay=0.05).push()
    desk.serve()
    [line] = reasons(desk, "later")
    assert re.fullmatch(r"due at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC \(in T\)", line)
    eventually(lambda: "due at" not in desk("why now").out, 10)
    assert reasons(desk, "now") == [
        "it is due, and no worker has looked since; the next one that asks for a task makes it ready"
    ]


def test_a_task_behind_others_says_how_many_and_when_its_turn_is(desk: Desk):
    desk.send.push_many({"to": str(n)} for n in range(30))
    desk.send.options(id="t").push()
    desk.send.options(priority="HIGH").push_many({"to": str(n)} for n in range(10))
    desk.serve(rate=0.0)
    assert reasons(desk, "t") == [
        "40 tasks before it, 10 of them of higher priority; 2 workers have 0 on lease, and ended 0.0 a second of late"
    ]
    desk.serve(rate=2.0)
    assert reasons(desk, "t")[0].endswith("ended 4.0 a second of late: its turn in about T")
    desk("tasks move t --priority high")
    desk.lease("web1.9.aa", 10)
    assert reasons(desk, "t") == ["next to be leased; 2 workers have 10 on lease, and ended 4.0 a second of late"]


def test_a_task_on_lease_says_who_has_it_and_behind_what(desk: Desk):
    for id in ("first", "second", "third"):
        desk.send.options(id=id).push()
    me = f"{here()}.{os.getpid()}.aa"
    desk.lease(me, 3)
    who = f"{here()}:{os.getpid()}"
    assert re.fullmatch(
        rf"on lease by {who}( for T)?, the first of its batch: it runs, or has just ended; .*",
        reasons(desk, "first")[0],
    )
    assert re.fullmatch(
        rf"in the batch of {who}( for T)?, behind 2 others; goes back by itself .*", reasons(desk, "third")[0]
    )


def test_a_task_whose_worker_is_gone_says_so(desk: Desk):
    desk.send.options(id="here").push()
    desk.send.options(id="there").push()
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    desk.lease(f"{here()}.{ended.pid}.aa")
    desk.lease("web7.12.aa")
    assert reasons(desk, "here")[0] == (
        f"its worker {here()}:{ended.pid} has ended; it is given back within a second, or when the lease is over"
    )
    if any("web7:12 is not seen" in line for line in reasons(desk, "there")):
        desk.serve("web7", 11)
    assert not any("is not seen" in line for line in reasons(desk, "there"))


def test_a_task_whose_worker_is_stopped_says_so(desk: Desk):
    desk.send.options(id="t").push()
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        desk.lease(f"{here()}.{child.pid}.aa")
        child.send_signal(signal.SIGSTOP)
        eventually(lambda: "is stopped or traced" in desk("why t").out, 10)
        assert reasons(desk, "t")[0] == f"its worker {child.pid} is stopped or traced; its limits go on"
    finally:
        child.kill()
        child.wait()


def test_a_task_that_waits_for_workers_that_are_all_stopped_says_so(desk: Desk):
    desk.send.options(id="t").push()
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        desk.serve(here(), os.getpid(), workers=1, worker=child.pid)
        assert "next to be leased" in reasons(desk, "t")[0]
        child.send_signal(signal.SIGSTOP)
        eventually(
            lambda: reasons(desk, "t") == [f"the worker of its queue is stopped or traced; kill -CONT {child.pid}"], 10
        )
    finally:
        child.kill()
        child.wait()


def test_a_task_whose_workers_crash_again_and_again_says_how_often(desk: Desk):
    desk.send.options(id="t").push()
    told = {"label": "app:mail", "queue": "mail", "code": "1", "since": 1.0, "tasks": None, "reads": None}
    desk.serve("web1", targets=[{**told, "ends": {"crash": 3, "timeout": 9}}])
    assert reasons(desk, "t")[0] == "workers of its queue crashed 3 times in the last hour; regiment workers says how"


def test_a_parked_task_says_who_would_know_it(desk: Desk):
    desk.send.options(id="t").push()
    [delivery] = desk.lease("web1.9.aa")
    desk.lease("web1.9.aa", 0, Park(delivery.receipt, 40.0))
    told = {"label": "app:mail", "queue": "mail", "code": "1", "since": 1.0, "reads": None, "ends": {}}
    desk.serve("web1", targets=[{**told, "tasks": ["bill"]}])
    assert "a worker lacks the name 'send' (known nowhere)" in reasons(desk, "t")[0]
    desk.serve("web2", 8, targets=[{**told, "tasks": ["send"]}])
    assert "a worker lacks the name 'send' (known on web2:8)" in reasons(desk, "t")[0]


def test_a_task_that_was_deleted_says_by_whom(desk: Desk, me: str):
    desk.send.options(id="t").push()
    desk.send.options(id="u").push()
    desk("tasks cancel t --now --yes --reason twice")
    assert desk("why t").out.splitlines()[0] == 'task t of "mail" is deleted'
    assert reasons(desk, "t") == [f"deleted by {me} T ago: twice; it runs no more"]


def test_a_dead_task_says_of_what_and_what_can_be_done(desk: Desk):
    for n in range(3):
        desk.send.options(id=f"t{n}").push()
    for delivery in desk.lease("web1.9.aa", 3):
        id = desk.mail.broker.codec.decode(delivery.payload, "mail").id
        reason = {"kind": "failure", "name": "send", "error_type": "KeyError", "error": repr(id)}
        desk.lease("web1.9.aa", 0, Dead(delivery.receipt, id, json.dumps(reason).encode()))
    answer = desk("why t1")
    assert answer.out.splitlines()[0] == 'send t1 of "mail" is dead'
    assert re.fullmatch(
        r"dead since T: failure: KeyError: 't1'; 2 of the newest 3 dead letters are like it; regiment dead try (\S+) -A MODULE, regiment dead replay \1",
        reasons(desk, "t1")[0],
    )


def test_a_task_of_which_nothing_is_known_says_what_that_may_mean(desk: Desk):
    desk.send.push()
    answer = desk("why nobody")
    assert answer.code == 1 and 'no task "nobody" waits or runs in' in answer.out
    assert "it was never pushed there, or has ended" in answer.out
    assert desk("why nobody --json").document["found"] == []


def test_a_store_that_is_away_is_said_and_what_can_be_seen_without_it(desk: Desk):
    desk.url = "redis://127.0.0.1:9/0"
    answer = desk("why t")
    assert answer.code == 4
    assert (
        "nothing can be said of tasks while their store is away; regiment workers says what those of this host do"
        in answer.err
    )


def test_the_first_reason_is_bold_on_a_terminal_and_json_has_all(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    desk.send.options(id="t").push()
    desk("queues pause mail")
    [one] = desk("why t --json").document["found"]
    assert one["state"] == "ready" and len(one["reasons"]) == 2
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    lines = desk("why t").out.splitlines()
    assert lines[1].startswith('  \033[1m"mail" is paused') and "\033" not in lines[2]


def test_what_plugins_know_stands_among_the_reasons(desk: Desk, tmp_path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "saying.py").write_text(
        "from regiment.hooks import hookimpl\n"
        "@hookimpl(optionalhook=True)\n"
        "def regiment_reasons(id, task):\n"
        "    return [f'{id} is {task.name}'] if task else [f'{id} was seen by the moon']\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    desk.send.options(id="t").push()
    assert reasons_of(tmp_path, desk.url, "t")[-1] == "  t is send"
    assert reasons_of(tmp_path, desk.url, "gone")[-1] == "  gone was seen by the moon"


def reasons_of(folder, url: str, id: str) -> list[str]:
    """In a process of its own: plugins are found once in a process."""
    line = [sys.executable, "-m", "regiment", "--plugin", "saying", "why", id, "--connector", url]
    done = subprocess.run(
        line, cwd=folder, capture_output=True, text=True, timeout=60, env={**os.environ, "NO_COLOR": "1"}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()
