"""Slips of a first hour: each is answered in words that say what was seen, what was expected and what to do."""

from __future__ import annotations

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
