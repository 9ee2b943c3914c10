"""What an operator does to tasks, queues and workers: said in words, done as said, and kept with who did it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from console.conftest import Desk
from harness import mongod
from harness.servers import redis
from harness.wait import eventually
from regiment.contracts import Dead, Done
from regiment_console.masks import hidden, secret

# Looking


def test_tasks_are_listed_in_the_order_in_which_they_will_run(desk: Desk):
    desk.send.options(id="later", delay=600).push()
    desk.send.options(id="low", priority="LOW").push()
    desk.send.options(id="first").push()
    desk.bill.options(id="second").push(number=7)
    desk.lease("web1.9.aa")
    rows = [line.split() for line in desk("tasks").out.splitlines()]
    assert rows[0] == ["ID", "QUEUE", "TASK", "STATE", "PRIORITY", "SINCE", "DUE", "RUNS", "WORKER"]
    assert [row[:5] for row in rows[1:]] == [
        ["first", "mail", "send", "leased", "NORMAL"],
        ["second", "mail", "bill", "ready", "NORMAL"],
        ["low", "mail", "send", "ready", "LOW"],
        ["later", "mail", "send", "delayed", "NORMAL"],
    ]
    assert rows[1][-1] == "web1:9"
    assert desk("tasks mail --limit 2").err == "2 more: --limit N"
    assert desk("tasks list mail --state delayed").out.splitlines()[1].split()[0] == "later"


def test_tasks_are_chosen_by_name_and_by_arguments(desk: Desk):
    for n in range(5):
        desk.send.options(id=f"s{n}").push(to=f"u{n}@example", user={"id": n, "vip": n == 3})
    desk.bill.options(id="b").push(number=3)

    def ids(*line: str) -> list[str]:
        return [one["id"] for one in desk("tasks mail --json", *line).document["tasks"]]

    assert ids("--name", "bill") == ["b"]
    assert ids("--where", "args.user.id=3") == ["s3"] == ids("--where", "args.user.vip=true")
    assert ids("--where", "args.to=u4@example", "--name", "send") == ["s4"]
    assert ids("--where", "args.user.id=3", "--where", "args.user.vip=false") == []
    assert ids("--where", "id=b") == ["b"]
    answer = desk("tasks mail --name bill --through 3")
    assert answer.err == 'no such tasks\nlooked at the first 3 of 6 ready in "mail": --through N'
    assert "is no condition; expected args.NAME=VALUE" in desk("tasks mail --where user=3").err


def test_a_task_is_shown_with_its_secrets_masked(desk: Desk):
    desk.send.options(id="t", headers={"tenant": "acme"}).push(
        to="a@b", password="hunter2", user={"accessToken": "x", "n": 1}
    )
    shown = desk("tasks show t")
    for words in ("task t: send", "queue       mail", "state       ready", "to = 'a@b'", "password = '***'", "tenant"):
        assert words in shown.out
    assert "hunter2" not in shown.out and shown.err == "  when it runs: regiment why t"
    assert desk("tasks show t --json").document["kwargs"]["user"] == {"accessToken": "***", "n": 1}
    assert "hunter2" in desk("tasks show t --reveal").out
    assert "no task" in desk("tasks show u").err


@pytest.mark.parametrize("name", ["password", "user_password", "apiToken", "client-secret", "stripe_api_key", "PASSWD"])
def test_what_sounds_secret_is_masked(name: str):
    assert secret(name) and hidden([{name: "x", "y": 1}]) == [{name: "***", "y": 1}]


@pytest.mark.parametrize("name", ["key", "passenger", "number", "tokens_used_by_author", "pinned"])
def test_what_does_not_is_not(name: str):
    assert not secret(name)


def test_a_url_among_arguments_shows_no_login(desk: Desk):
    desk.send.options(id="t").push(to="redis://bob:hunter2@db1/0")
    assert "to = 'redis://db1/0'" in desk("tasks show t").out


def test_text_is_found_in_tasks_and_in_dead_letters(desk: Desk):
    desk.send.options(id="waits").push(to="needle@example")
    desk.send.options(id="dies").push(to="other@example")
    kill(desk, "dies", "no needle in the haystack")
    rows = desk("tasks find needle").out.splitlines()[1:]
    assert [row.split()[0] for row in rows] == ["waits", "dies"] and "dead: letter" in rows[1]
    assert desk("tasks find dies").out.count("\n") == 2
    nothing = desk("tasks find hammer")
    assert nothing.code == 1 and '"hammer" stands in no task and in no dead letter' in nothing.err


def kill(desk: Desk, id: str, error: str, kind: str = "ValueError", traceback: str = "") -> None:
    """Make a task a dead letter, as a worker does that leases it among others."""
    consumer = f"web1.9.{desk.killed}"
    desk.killed += 1
    found = desk.lease(consumer, 100)
    for delivery in found:
        task = desk.mail.broker.codec.decode(delivery.payload, "mail")
        if task.id == id:
            reason = {"kind": "failure", "name": task.name, "error_type": kind, "error": error, "traceback": traceback}
            desk.lease(consumer, 0, Dead(delivery.receipt, id, json.dumps(reason).encode()))
    desk.store.release("mail", consumer, [], {}, close=True)


# Changing tasks


def test_a_cancelled_task_stands_on_the_board_and_the_account_says_why(desk: Desk, me: str):
    desk.send.options(id="t").push()
    refused = desk("tasks cancel t")
    assert refused.code == 2 and not desk.acts()
    assert 'Cancel 1 task (1 waiting, 0 on lease): send t of "mail"' in refused.err and "add --yes" in refused.err
    answer = desk("tasks cancel t --yes --reason", "sent twice")
    assert answer.err == 'cancelled 1 task of "mail"; each ends without a run when its turn comes'
    assert desk.store.board("mail").cancelled == {"t"}
    assert desk.acts() == [
        {"queue": "mail", "what": "cancel", "who": me, "number": 1, "reason": "sent twice", "ids": ["t"]}
    ]


def test_cancel_now_takes_a_task_out_of_its_queue_and_tells_a_running_one_to_stop(desk: Desk):
    desk.send.options(id="runs").push()
    desk.send.options(id="waits").push()
    desk.send.options(id="later", delay=600).push()
    desk.lease("web1.9.aa")
    answer = desk("tasks cancel --now --yes waits later runs nobody")
    assert answer.code == 1 and answer.err.splitlines()[:2] == [
        'deleted 2 tasks of "mail"',
        'told to stop 1 task of "mail"; what has just ended stays so',
    ]
    assert 'error: no task "nobody" waits or runs in' in answer.err
    assert desk.states() == {"runs": "leased"} and desk.store.board("mail").cancelled == {"runs"}
    assert desk.send.options(id="waits").push().existed is False, "its id is free"


def test_what_ends_while_somebody_is_asked_leaves_no_notice_for_who_has_its_id_next(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
):
    desk.send.options(id="daily").push()
    desk.send.options(id="waits").push()
    (daily,) = desk.lease("web1.9.aa")

    def asked(*_: object) -> None:
        desk.lease("web1.9.aa", 0, Done(daily.receipt, daily.receipt))

    monkeypatch.setattr("regiment_console.handling.sure", asked)
    desk("tasks cancel daily waits")
    assert desk.store.board("mail").cancelled == {"waits"}


def test_what_a_worker_takes_while_somebody_is_asked_is_told_to_stop(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    desk.send.options(id="t").push()
    monkeypatch.setattr("regiment_console.handling.sure", lambda *_: desk.lease("web1.9.aa"))
    answer = desk("tasks cancel --now t")
    assert answer.err == 'told to stop 1 task of "mail"; what has just ended stays so'
    assert desk.store.board("mail").cancelled == {"t"}


@pytest.mark.parametrize("line", ["tasks cancel --now --yes", "tasks cancel --yes", "tasks move --delay 5m"])
def test_an_empty_id_means_no_message_that_cannot_be_read(desk: Desk, line: str):
    desk.store.push("mail", [b"junk", b""], priority=1, token="t")
    answer = desk(line, "")
    assert answer.code == 1 and 'no task "" waits or runs in' in answer.err
    assert desk.store.counts("mail").ready == 2 and not desk.store.board("mail").cancelled and not desk.acts()


def test_a_dead_letter_is_not_cancelled_and_what_can_be_done_is_said(desk: Desk):
    desk.send.options(id="t").push()
    kill(desk, "t", "x")
    answer = desk("tasks cancel t --yes")
    assert answer.code == 1
    assert answer.err == 'error: t is a dead letter of "mail" and does not run: regiment dead replay t'


def test_a_delayed_task_is_run_now_and_no_other(desk: Desk):
    desk.send.options(id="later", delay=600).push()
    desk.send.options(id="ready").push()
    answer = desk("tasks run later ready")
    assert answer.code == 1 and answer.err.splitlines() == [
        'made ready 1 task of "mail"',
        'error: ready of "mail" is ready already: regiment why ready',
    ]
    assert desk.states() == {"later": "ready", "ready": "ready"}


def test_a_task_is_moved_to_another_priority_and_another_time(desk: Desk):
    for id in ("a", "b", "runs"):
        desk.send.options(id=id, priority="HIGH" if id == "runs" else "NORMAL").push()
    desk.lease("web1.9.aa")
    assert desk("tasks move b --priority high").err == 'moved 1 task of "mail": priority HIGH'
    assert desk("tasks move a --delay 5m --priority low").err == 'moved 1 task of "mail": due in 5 m, priority LOW'
    assert desk("tasks move a").code == 2
    refused = desk("tasks move runs --delay 5m")
    assert refused.code == 1
    assert (
        refused.err == 'error: runs of "mail" is on lease by a worker and cannot be moved: regiment tasks cancel runs'
    )
    found = {one["id"]: one for one in desk("tasks --json").document["tasks"]}
    assert found["b"]["priority"] == "HIGH" and found["b"]["state"] == "ready"
    assert found["a"]["priority"] == "LOW" and 290 < found["a"]["due"] <= 300
    assert [(one["what"], one["to"]) for one in desk.acts()] == [
        ("move", "due in 5 m, priority LOW"),
        ("move", "priority HIGH"),
    ]


def test_many_ids_of_one_push_are_found_together(desk: Desk):
    desk.send.push_many({"to": str(n)} for n in range(50))
    ids = list(desk.states())
    answer = desk("tasks cancel --now --yes", *ids[:40])
    assert answer.err == 'deleted 40 tasks of "mail"' and len(desk.states()) == 10


# Queues and workers


def test_a_paused_queue_gives_nothing_until_it_is_resumed(desk: Desk, me: str):
    desk.send.push()
    answer = desk("queues pause mail --reason deploy")
    assert answer.err == 'paused "mail": 1 waiting, none on lease; regiment queues resume mail'
    assert desk.lease("web1.9.aa") == []
    assert desk("queues pause mail").err.startswith(f'"mail" is paused already by {me} 0.')
    assert desk("queues resume mail").err.startswith(f'resumed "mail", which was paused by {me} 0.')
    assert len(desk.lease("web1.9.aa")) == 1
    assert desk("queues resume mail").err == '"mail" is not paused'
    assert [(one["what"], one.get("reason")) for one in desk.acts()] == [("resume", None), ("pause", "deploy")]
    assert 'Did you mean "mail"?' in desk("queues pause mial").err


def test_a_drain_waits_until_nothing_is_left_and_says_what_is(desk: Desk):
    desk.send.push()
    desk.send.options(delay=600).push()
    late = desk("queues drain mail --timeout 100ms")
    assert late.code == 1 and 'error: "mail" still has 1 ready, 1 delayed after 0.1 s' in late.err
    assert 'no living worker serves "mail"' in late.err and "no store refuses them" in late.err
    desk("queues pause mail")
    assert 'error: "mail" is paused and has 1 ready, 1 delayed' in desk("queues drain mail").err
    desk("queues purge mail --yes --reason", "start anew")
    assert {"what": "purge", "number": 2, "reason": "start anew"}.items() <= desk.acts()[0].items()
    assert desk("queues drain mail").err == '"mail" is empty'


def test_workers_are_told_by_host_by_tree_and_told_to_go_on(desk: Desk):
    desk.send.push()
    desk.serve("web1", 7, workers=2)
    desk.serve("web1", 20, workers=1)
    desk.serve("web2", 30, workers=4)
    answer = desk("workers quiet web1 --reason", "new kernel")
    assert answer.err.splitlines()[0] == "told 3 workers of web1 (mail) to lease nothing more and finish what they have"
    assert desk.store.board("mail").orders == {"host:web1": "quiet"}
    answer = desk("workers drain web1:7")
    assert "told 2 workers of web1:7 (mail) to lease nothing more, finish what they have, and end" in answer.err
    assert "its host is still told to quiet" in desk("workers resume web1:7").err
    desk("workers drain web1:20")
    assert desk("workers resume web1").err == "took back host:web1, tree:web1:20 (mail)"
    assert not desk.store.board("mail").orders
    assert desk("workers quiet web3").err.endswith("There are: web1, web2, web1:7, web1:20, web2:30")
    assert desk("workers resume web3").err == "error: no order stands for web3. Nobody has an order."
    assert [one["what"] for one in desk.acts()] == ["resume workers", "drain", "resume workers", "drain", "quiet"]


# Dead letters


TRACE = 'Traceback\n  File "/app/{file}.py", line {line}, in {function}\n    x\nValueError: x\n'


def dead_of_two_causes(desk: Desk) -> dict[str, str]:
    """Five letters of `send` in two groups, one of `bill`; group of each task id."""
    for n in range(5):
        desk.send.options(id=f"s{n}").push()
    desk.bill.options(id="b").push()
    for n in range(5):
        trace = TRACE.format(file="mailer", line=n, function="connect" if n < 3 else "login")
        kill(desk, f"s{n}", f"no {n}", traceback=trace)
    kill(desk, "b", "empty", kind="shop.Empty")
    rows = [row.split() for row in desk("dead list --group").out.splitlines()[1:]]
    assert [row[1:4] for row in rows] == [["3", "mail", "send"], ["2", "mail", "send"], ["1", "mail", "bill"]]
    return {"connect": rows[0][0], "login": rows[1][0], "bill": rows[2][0]}


def test_a_group_of_dead_letters_is_replayed_and_no_other(desk: Desk):
    group = dead_of_two_causes(desk)
    dry = desk(f"dead replay mail --group {group['login']} --dry-run")
    assert dry.err.splitlines()[0] == 'would replay 2 dead letters of "mail"; nothing was changed'
    assert "send s4  ValueError: no 4" in dry.err and desk.states() == {}
    assert desk(f"dead replay mail --group {group['login']} --reason fixed").err == 'replayed 2 dead letters of "mail"'
    assert desk.states() == {"s3": "ready", "s4": "ready"}
    [act] = desk.acts()
    assert (act["what"], act["number"], act["reason"], act["group"]) == ("replay", 2, "fixed", group["login"])
    wrong = desk("dead replay mail --group 00000000")
    assert wrong.code == 1 and 'no group "00000000" in the queue "mail"' in wrong.err and group["bill"] in wrong.err


def test_dead_letters_are_chosen_by_error_name_and_age(desk: Desk):
    dead_of_two_causes(desk)
    letters = {one["id"]: one["letter"] for one in desk("dead list --json").document["letters"]}
    assert desk("dead replay mail --error Empty").err == 'replayed 1 dead letter of "mail"'
    assert desk("dead replay mail --name bill").err == 'replayed 0 dead letters of "mail"'
    assert desk("dead replay mail --upto", letters["s1"], "--rate", "1000/s").err == 'replayed 2 dead letters of "mail"'
    assert desk.states() == {"b": "ready", "s0": "ready", "s1": "ready"}
    assert 'no dead letter "nix"' in desk("dead replay mail --upto nix").err
    asked = desk("dead purge mail --error ValueError")
    assert asked.code == 2 and 'Delete 3 dead letters of the queue "mail"' in asked.err
    assert desk("dead purge mail --error ValueError --yes").err == 'deleted 3 dead letters of "mail"'
    assert [one["what"] for one in desk.acts()] == ["drop", "replay", "replay"]


def test_a_dead_letter_is_replayed_by_its_id_alone(desk: Desk):
    dead_of_two_causes(desk)
    assert desk("dead replay s1 b").err == 'replayed 2 dead letters of "mail"'
    assert desk.states() == {"s1": "ready", "b": "ready"}
    assert 'no queue named "s9"' in desk("dead replay s9").err
    assert desk("dead purge s2 --yes").err == 'deleted 1 dead letter of "mail"'


# Accounts


def test_an_act_is_an_event_for_plugins_and_is_listed(desk: Desk, tmp_path, me: str):
    (tmp_path / "hearing.py").write_text(
        "from regiment.hooks import hookimpl\n"
        "@hookimpl\n"
        "def regiment_event(event, process):\n"
        "    if event['event'].startswith('operator.'): print(process, event['event'], event['who'], event['reason'])\n"
    )
    desk.send.push()
    line = [sys.executable, "-m", "regiment", "--plugin", "hearing", "queues", "pause", "mail", "--reason", "why not"]
    done = subprocess.run(
        [*line, "--connector", desk.url], cwd=tmp_path, capture_output=True, text=True, timeout=60, env={**os.environ}
    )
    assert done.stdout == f"operator operator.pause {me} why not\n", done.stderr
    [head, row] = desk("audit").out.splitlines()
    assert head.split() == ["WHEN", "QUEUE", "WHAT", "TASKS", "WHO", "REASON", "MORE"]
    assert row.split()[3:] == ["mail", "pause", "-", me, "why", "not", "-"]
    assert desk("audit never").err == "nobody did anything"


def test_what_was_done_until_an_act_was_interrupted_is_kept(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    dead_of_two_causes(desk)

    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("regiment_console.letters.time.sleep", interrupted)
    assert desk("dead replay mail --rate 5/s").code == 1
    [act] = desk.acts()
    assert act["what"] == "replay" and act["number"] == len(desk.states()) == 1


def test_an_account_of_many_is_small_enough_to_be_kept(desk: Desk):
    ids = [f"{'x' * 180}{n}" for n in range(60)]
    for id in ids:
        desk.send.options(id=id).push()
    desk("tasks cancel --yes --reason", "y" * 5000, *ids)
    [act] = desk.acts()
    assert act["number"] == 60 and len(act["reason"]) == 1000


# Refusals


def test_a_store_without_the_extra_is_refused_in_words(desk: Desk, tmp_path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "bare_store.py").write_text(
        "from regiment_local.memory.connector import MemoryConnector\n"
        "class Without(MemoryConnector):\n"
        "    capabilities = MemoryConnector.capabilities._replace(extras=frozenset())\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    desk.url = "bare_store:Without"
    for line in ("tasks", "why t", "tasks cancel t", "queues pause mail", "workers quiet web1", "audit"):
        answer = desk(line)
        assert answer.code == 5 and 'does not keep "steer", which regiment' in answer.err, line
        assert "Stores that keep it: local, memory" in answer.err


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("tasks cancle t", 'regiment tasks has no "cancle". Did you mean "cancel"?'),
        ("tasks cancle", 'Did you mean "regiment tasks cancel"?'),
        ("tasks revoke t", 'regiment tasks has no "revoke". Did you mean "cancel"?'),
        ("revoke t", 'no command "revoke". Did you mean "tasks cancel"?'),
        ("status", 'no command "status". Did you mean "queues"?'),
        ("workers stop web1", 'regiment workers has no "stop". Did you mean "drain"?'),
        ("dead retry mail", 'regiment dead has no "retry". Did you mean "replay"?'),
    ],
)
def test_a_verb_from_elsewhere_is_answered_with_ours(desk: Desk, line: str, words: str):
    assert words in desk(line).err


def test_a_cancelled_task_that_a_worker_meets_ends_without_a_run(desk: Desk, tmp_path):
    (tmp_path / "post.py").write_text(
        f"from regiment import Queue\nmail = Queue('mail', connector={desk.url!r})\n"
        "@mail.task\ndef send(to='', password='', user=None): print('sent', to, flush=True)\n"
    )
    desk.send.options(id="no").push(to="no")
    desk.send.options(id="yes").push(to="yes")
    desk("tasks cancel no --yes")
    line = [sys.executable, "-m", "regiment", "run", "post", "--burst", "--log-format", "off"]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "sent yes\n"), done.stderr
    eventually(lambda: not desk.store.board("mail").cancelled, 10)


# Stores on servers


@pytest.fixture(params=["redis", "mongo"])
def served(request: pytest.FixtureRequest, desk: Desk, capsys: pytest.CaptureFixture[str]) -> Iterator[Desk]:
    """A desk on a store that several hosts share."""
    with ExitStack() as stack:
        if request.param == "redis":
            url = stack.enter_context(redis()).url
        else:
            url = mongod.with_database(stack.enter_context(mongod.address()), "hand")
        made = Desk(url, capsys)
        stack.callback(made.close)
        yield made


def test_the_verbs_say_the_same_on_a_server(served: Desk, me: str):
    desk = served
    for id in ("runs", "t", "u"):
        desk.send.options(id=id).push(to=f"{id}@example")
    desk.send.options(id="later", delay=600).push()
    desk.lease("web1.9.aa")
    desk.serve()
    assert desk.states() == {"runs": "leased", "t": "ready", "u": "ready", "later": "delayed"}
    assert desk("tasks find u@exam").out.splitlines()[1].split()[0] == "u"
    assert desk("tasks run later").err == 'made ready 1 task of "mail"'
    assert desk("tasks move u --priority high").err == 'moved 1 task of "mail": priority HIGH'
    assert (
        desk("why t")
        .out.splitlines()[1]
        .startswith("  1 task before it, 1 of them of higher priority; 2 workers have 1 on lease")
    )
    desk("queues pause mail --reason deploy")
    assert f'"mail" is paused by {me} ' in desk("why t").out
    desk("workers quiet web1")
    assert desk.store.board("mail").paused and desk.store.board("mail").orders == {"host:web1": "quiet"}
    assert desk("tasks cancel --now --yes t runs").err.splitlines() == [
        'deleted 1 task of "mail"',
        'told to stop 1 task of "mail"; what has just ended stays so',
    ]
    assert desk.states() == {"runs": "leased", "u": "ready", "later": "ready"}
    assert [one["what"] for one in desk.acts()] == ["cancel", "quiet", "pause", "move", "run"]
