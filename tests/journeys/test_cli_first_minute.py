"""The first minute: push, run, and what is told on the way."""

from __future__ import annotations

import json
import re
import signal
import stat

import pytest


def test_a_pushed_task_is_queued_in_a_file_and_run_by_the_first_burst(cli):
    pushed = cli("push", "hello:greet", "name=Ada")
    assert pushed.code == 0
    assert pushed.err.startswith("queued hello:greet ")
    assert f'on "hello" ({cli.folder}/.regiment/queue.db); no worker is alive yet' in pushed.err
    ran = cli("run", "hello", "--burst", "--log-format", "console")
    assert (ran.code, ran.out) == (0, "hello Ada\n"), ran.err
    assert cli.counts().get("ready", 0) == 0


def test_the_embedded_store_is_private_and_ignored_by_git(cli):
    cli("push", "hello:greet", "name=Ada")
    folder = cli.folder / ".regiment"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert (folder / ".gitignore").read_text() == "*\n"


def test_run_says_at_its_start_what_the_worker_uses_and_how_many_plugins_are_loaded(cli):
    cli("push", "hello:greet", "name=Ada")
    said = cli("run", "hello:hello", "--burst", "--log-format", "console").err
    assert '1 worker of hello:hello, queue "hello"' in said
    assert f"{cli.folder}/.regiment/queue.db, from the default (REGIMENT_CONNECTOR is not set)" in said
    assert "serializer msgpack, compressor none, executor serial, killer process" in said
    assert re.search(r"  plugins  \d+ loaded; regiment plugins lists them\n", said)


def test_where_nobody_reads_along_the_log_is_one_json_object_a_line(cli):
    cli("push", "hello:greet", "name=Ada")
    lines = [json.loads(line) for line in cli("run", "hello", "--burst").err.splitlines()]
    started = next(line for line in lines if line["event"] == "supervisor.started")
    assert started["target"] == "hello:hello" and started["executor"] == "serial"
    assert any("regiment-local" in plugin for plugin in started["plugins"])
    assert lines[-1]["event"] == "supervisor.stopped" and lines[-1]["exit_code"] == 0


def test_log_format_off_is_silent(cli):
    cli("push", "hello:greet", "name=Ada")
    assert cli("run", "hello", "--burst", "--log-format", "off").err == ""


@pytest.mark.parametrize("mode", [(), ("--solo",)], ids=["supervised", "solo"])
def test_a_burst_that_made_a_dead_letter_exits_1_and_shows_the_traceback(cli, mode):
    cli("push", "hello:divide")
    ran = cli("run", "hello", "--burst", "--log-format", "console", *mode)
    assert ran.code == 1
    assert "task.failure" in ran.err and "is a dead letter" in ran.err
    assert "ZeroDivisionError: division by zero" in ran.err and "number / 0" in ran.err


def test_two_workers_of_a_target_share_its_work(cli):
    cli("push", "hello:greet", "--kwargs", "-", stdin='{"name": "Ada"}\n' * 20)
    ran = cli("run", "hello:hello=2", "--burst", "--log-format", "console")
    assert ran.out == "hello Ada\n" * 20
    assert "2 workers of hello:hello" in ran.err


def test_a_module_with_several_workers_runs_them_all(cli):
    cli.write(
        "two.py",
        "from regiment import Queue\na, b = Queue('a'), Queue('b')\n"
        "@a.task\ndef one(): print('one', flush=True)\n@b.task\ndef two(): print('two', flush=True)\n",
    )
    cli("push", "two:one")
    cli("push", "two:two")
    ran = cli("run", "two", "--burst", "--log-format", "off")
    assert (ran.code, sorted(ran.out.split())) == (0, ["one", "two"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_signal_lets_the_running_task_finish_and_exits_0(cli, read_until, number):
    cli("push", "hello:sleep", "seconds:=1")
    cli("push", "hello:greet", "name=Ada")
    running = cli.start("run", "hello", "--log-format", "off")
    read_until(running, "sleeping")
    running.send_signal(number)
    rest = running.stdout.read()
    assert running.wait() == 0
    assert rest == "slept\n"
    assert cli.counts()["ready"] == 1


def test_at_the_stop_timeout_the_running_task_is_killed_and_given_back_with_exit_8(cli, read_until):
    cli("push", "hello:sleep", "seconds:=60")
    running = cli.start("run", "hello", "--log-format", "off", "--stop-timeout", "300ms")
    read_until(running, "sleeping")
    running.terminate()
    assert running.wait(10) == 8
    assert cli.counts()["ready"] == 1


def test_a_living_worker_is_named_by_push_and_queues(cli, read_until, wait_for):
    running = cli.start("run", "hello", "--log-format", "json")
    read_until(running, "worker.ready")
    wait_for(lambda: "1 worker alive" in cli("push", "hello:greet", "name=Ada").err)
    assert cli.counts()["workers"] == 1
    running.terminate()
    assert running.wait(10) == 0
    assert cli.counts().get("workers", 0) == 0, "a tree that has ended counts no more"


def test_app_dir_is_found_before_and_after_the_verb_and_by_the_workers(cli):
    (cli.folder / "elsewhere").mkdir()
    away = cli.folder / "elsewhere"
    assert cli("--app-dir", "..", "push", "hello:greet", "name=Ada", cwd=away).code == 0
    ran = cli("run", "hello", "--burst", "--app-dir", "..", "--log-format", "off", cwd=away)
    assert (ran.code, ran.out) == (0, "hello Ada\n")


def test_the_environment_chooses_the_store_of_workers_that_name_none(cli):
    url = f"sqlite:///{cli.folder}/other.db"
    pushed = cli("push", "hello:greet", "name=Ada", REGIMENT_CONNECTOR=url)
    assert "other.db" in pushed.err
    assert cli("run", "hello", "--burst", REGIMENT_CONNECTOR=url).out == "hello Ada\n"
    assert not (cli.folder / ".regiment").exists()
