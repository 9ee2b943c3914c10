"""Slips of a first hour: each is answered in words that say what was seen, what was expected and what to do."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import subprocess
import sys

SLIPS = """
from regiment import Queue, Worker, WorkerConfig

first = Queue("first", lease="30")
@first.task
def f(): ...

second = Queue("second", plugins="x")
@second.task
def g(): ...

class Crawl(Worker):
    config = WorkerConfig(name="crawl")
    def work(self, task): ...
    def on_falure(self, task, exception): ...
"""


def test_check_says_every_problem_although_values_have_the_wrong_type(cli):
    cli.write("slips.py", SLIPS)
    answer = cli("check", "slips")
    assert answer.code == 5
    assert "slips:first: lease is '30'; expected a positive number of seconds" in answer.err
    assert "slips:second: plugins is 'x'; expected a list of modules, extensions and objects" in answer.err
    assert "2 problems" in answer.err


def test_check_warns_of_a_method_that_is_called_like_a_hook_and_is_none(cli):
    cli.write("slips.py", SLIPS)
    answer = cli("check", "slips:Crawl")
    assert answer.code == 0
    assert 'the method on_falure is no hook, and nothing calls it. Did you mean "on_failure"?' in answer.err


def test_a_folder_in_the_place_of_the_embedded_file_is_said_to_be_one(cli, tmp_path):
    answer = cli("push", "hello:greet", "name=Ada", REGIMENT_CONNECTOR=f"sqlite:///{tmp_path}")
    assert answer.code == 4
    assert f"{tmp_path} is a folder; expected the path of a file, such as sqlite:///{tmp_path}/queue.db" in answer.err


def test_a_push_into_the_memory_of_the_command_itself_is_refused(cli):
    answer = cli("push", "hello:greet", "name=Ada", REGIMENT_CONNECTOR="memory://")
    assert answer.code == 2
    assert "nothing was queued" in answer.err


def test_workers_are_seen_as_soon_as_they_have_started(cli, read_until, wait_for):
    run = cli.start("run", "hello", "--workers", "2")
    for _ in range(2):
        read_until(run, "worker.ready")
    wait_for(lambda: cli.counts().get("workers") == 2, 5)  # a lease has 30 s: the first renewal comes later than that


ONE = """
import os
from regiment import Queue
shop = Queue("shop")

@shop.task
def greet(name: str, greeting: str = "hello") -> None:
    print(greeting, name, flush=True)
"""
CRASH = """
@shop.task
def crash() -> None:
    os.kill(os.getpid(), 11)
"""


def on_a_terminal(cli, *args: str) -> str:
    """What `regiment ARGS` shows on a terminal."""
    leading, following = pty.openpty()
    run = subprocess.Popen(
        [sys.executable, "-m", "regiment", *args],
        cwd=cli.folder,
        env=cli.environment(),
        stdin=subprocess.DEVNULL,
        stdout=following,
        stderr=following,
    )
    os.close(following)
    seen = b""
    with contextlib.suppress(OSError):  # nobody writes there any more
        while piece := os.read(leading, 65536):
            seen += piece
    run.wait(60)
    os.close(leading)
    return seen.decode().replace("\r\n", "\n")


def test_a_burst_on_a_terminal_has_a_line_for_a_task_and_says_at_its_end_how_many(cli):
    cli("push", "hello:greet", "Ada", "--id", "mine")
    seen = on_a_terminal(cli, "run", "hello", "--burst")
    assert re.search(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d \[info     \] task\.success .*id=mine .*task=greet", seen, re.M)
    assert "None" not in seen, "what is empty is left out"
    assert seen.splitlines()[-1] == "1 done, 0 failed"


def test_of_many_tasks_on_a_terminal_few_have_a_line_and_all_are_counted(cli):
    cli("push", "hello:greet", "--kwargs", "-", stdin='{"name": "Ada"}\n' * 300)
    seen = on_a_terminal(cli, "run", "hello", "--burst")
    assert 1 <= seen.count("task.success") < 150
    assert seen.splitlines()[-1] == "300 done, 0 failed"


def test_a_burst_in_which_something_died_says_where_to_look(cli):
    cli("push", "hello:divide")
    seen = on_a_terminal(cli, "run", "hello", "--burst")
    assert seen.splitlines()[-1] == "0 done, 1 failed (1 for good); regiment dead list says why"


def test_where_nobody_reads_along_successes_have_no_line(cli):
    cli("push", "hello:greet", "Ada")
    assert "task.success" not in cli("run", "hello", "--burst").err


def test_a_crash_names_the_task_that_ran(cli):
    cli.write("shop.py", ONE.replace("Queue(", "Queue(max_deliveries=1, name=") + CRASH)
    cli("push", "shop:crash", "--id", "bad")
    [line] = [json.loads(one) for one in cli("run", "shop", "--burst").err.splitlines() if '"worker.crashed"' in one]
    assert line["running"] == "crash bad"


def test_a_module_with_one_task_means_that_and_others_are_listed(cli):
    cli.write("shop.py", ONE)
    assert cli("push", "shop", "Ada").code == 0
    wrong = cli("push", "hello", "name=Ada")
    assert wrong.code == 3
    assert (
        '"hello" names no task; expected module:Name. Tasks there: hello:greet, hello:divide, hello:sleep' in wrong.err
    )


def test_arguments_without_a_key_are_those_of_the_function_in_their_order(cli):
    cli.write("shop.py", ONE)
    cli("push", "shop:greet", "Ada", "hi")
    cli("push", "shop:greet", "Bob", "greeting=bye")
    cli("push", "shop:greet", "name=Cid", "good day")
    assert cli("run", "shop", "--burst").out == "hi Ada\nbye Bob\ngood day Cid\n"
    many = cli("push", "shop:greet", "a", "b", "c")
    assert (many.code, "'c' is one argument too many" in many.err) == (2, True)
    assert "at most 2 arguments by position: name, greeting" in many.err


def test_a_task_is_run_by_running_its_queue(cli):
    cli("push", "hello:greet", "Ada")
    run = cli("run", "hello:greet", "--burst")
    assert (run.code, run.out) == (0, "hello Ada\n")


def test_push_says_what_to_look_at_next(cli):
    said = cli("push", "hello:greet", "Ada", "--id", "mine").err
    assert "where it is: regiment tasks show mine; why it waits: regiment why mine" in said
    assert "mine" in cli("tasks", "show", "mine").out
    assert "no living worker" in cli("why", "mine").out


def test_push_of_a_task_that_no_living_worker_knows_says_so(cli, read_until, wait_for):
    cli.write("shop.py", ONE)
    run = cli.start("run", "shop")
    read_until(run, "worker.ready")
    cli.write("shop.py", ONE + CRASH)
    wait_for(lambda: "1 worker alive" in cli("push", "shop:greet", "Ada").err, 20)
    assert "no worker of it knows" not in cli("push", "shop:greet", "Ada").err
    assert "but no worker of it knows the task 'crash': it is parked until one does" in cli("push", "shop:crash").err


def test_the_store_is_named_by_its_whole_path_and_one_that_is_not_there_is_said_to_be_absent(cli):
    empty = cli("queues")
    assert f"store: {cli.folder}/.regiment/queue.db, " in empty.err
    assert "no such file yet: nothing was pushed from here" in empty.err
    assert f"({cli.folder}/.regiment/queue.db)" in cli("push", "hello:greet", "Ada").err
    at_home = cli("queues", HOME=str(cli.folder.parent))
    assert f"store: ~/{cli.folder.name}/.regiment/queue.db, " in at_home.err


def test_an_address_without_a_scheme_is_answered_with_what_one_looks_like(cli):
    wrong = cli("queues", "--connector", "localhost:6379")
    assert wrong.code == 5
    assert (
        '"localhost:6379" is no name and no URL; expected a name, a URL with its scheme (redis://localhost:6379'
        in wrong.err
    )


def test_a_wrong_target_ends_with_its_error(cli):
    wrong = cli("run", "nosuch")
    assert wrong.code == 3
    assert wrong.err.splitlines()[-1].startswith('error: no module named "nosuch"')


def test_words_of_other_tools_are_answered_with_ours(cli):
    assert "here it is --workers 4" in cli("run", "hello", "-c", "4").err
    assert "here it is --workers 4" in cli("run", "hello", "--concurrency", "4").err
    for word, ours in (("start", "run"), ("worker", "run"), ("status", "queues"), ("list", "tasks"), ("logs", "top")):
        assert f'no command "{word}". Did you mean "{ours}"?' in cli(word).err


def test_config_shows_what_was_chosen_and_all_if_it_is_asked(cli):
    cli.write("shop.py", ONE.replace('"shop"', '"shop", lease=60.0'))
    shown = cli("config", "shop").out
    assert re.search(r"^  lease +60\.0 +keyword of Queue", shown, re.M)
    assert "serializer" not in shown
    assert re.search(r"^  \d+ more settings have their default: --all$", shown, re.M)
    assert "serializer" in cli("config", "shop", "--all").out


def test_a_field_that_is_not_there_is_answered_with_the_nearest_alone(cli):
    cli.write("shop.py", ONE.replace('"shop"', '"shop", conector="x"'))
    said = cli("check", "shop").err
    assert 'has no field "conector". Did you mean "connector"?' in said
    assert "It has:" not in said


def test_the_plugins_are_listed_once_for_a_tree(cli):
    cli.write(
        "two.py",
        "from regiment import Queue\na, b = Queue('a'), Queue('b')\n@a.task\ndef f(): ...\n@b.task\ndef g(): ...\n",
    )
    started = [json.loads(one) for one in cli("run", "two", "--burst").err.splitlines() if "supervisor.started" in one]
    assert ["plugins" in one for one in started] == [True, False]
