"""`regiment run --solo`: one worker in the foreground, and a keeper beside it."""

from __future__ import annotations

import os
import signal
from contextlib import closing
from pathlib import Path

import pytest

from regiment_local.local import LocalConnector


def children(pid: int) -> list[int]:
    """Processes whose parent is `pid`."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for thread in threads for child in (thread / "children").read_bytes().split()]


def gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def waiting(cli) -> list[int]:
    """How often a run of each waiting task ended its worker."""
    store = LocalConnector(path=str(cli.folder / ".regiment/queue.db"))
    with closing(store):
        store.open("look")
        return [seen.count for seen in store.peek("hello", "ready")]


def test_solo_keeps_stdin_for_a_debugger(cli):
    cli("push", "hello:read")
    ran = cli("run", "hello", "--solo", "--burst", "--log-format", "off", stdin="typed\n")
    assert (ran.code, ran.out) == (0, "read 'typed\\n'\n")


def test_solo_leaves_no_consumer_and_no_page_behind(cli):
    cli("push", "hello:greet", "name=Ada")
    runtime = cli.folder / "runtime"
    runtime.mkdir()
    ran = cli("run", "hello", "--solo", "--burst", "--log-format", "off", XDG_RUNTIME_DIR=str(runtime))
    assert ran.code == 0
    assert cli.counts().get("consumers", 0) == 0
    assert list((runtime / "regiment").iterdir()) == []


def test_solo_refuses_a_module_with_several_workers_by_name(cli):
    cli.write(
        "two.py",
        "from regiment import Queue\na, b = Queue('a'), Queue('b')\n@a.task\ndef f(): pass\n@b.task\ndef g(): pass\n",
    )
    answer = cli("run", "two", "--solo", "--log-format", "off")
    assert answer.code == 3
    assert '"two" names 2 workers and --solo runs one: two:a, two:b' in answer.err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_the_running_task_finish(cli, read_until, number):
    cli("push", "hello:sleep", "seconds:=1")
    cli("push", "hello:greet", "name=Ada")
    running = cli.start("run", "hello", "--solo", "--log-format", "off")
    read_until(running, "sleeping")
    running.send_signal(number)
    assert running.stdout.read() == "slept\n"
    assert running.wait() == 0
    assert cli.counts()["ready"] == 1


def test_a_second_signal_a_second_later_ends_at_once_and_gives_back(cli, read_until, wait_for):
    cli("push", "hello:sleep", "seconds:=60")
    running = cli.start("run", "hello", "--solo", "--log-format", "off")
    read_until(running, "sleeping")
    running.terminate()
    with pytest.raises(Exception, match="timed out"):
        running.wait(1.2)
    running.terminate()
    assert running.wait(5) == 8
    wait_for(lambda: cli.counts()["ready"] == 1)
    assert waiting(cli) == [0], "it was interrupted, and is no suspect"


def test_a_killed_solo_worker_is_noticed_and_its_task_given_back(cli, read_until, wait_for):
    cli("push", "hello:sleep", "seconds:=60")
    running = cli.start("run", "hello", "--solo", "--log-format", "off")
    read_until(running, "sleeping")
    [keeper] = children(running.pid)
    running.kill()
    wait_for(lambda: gone(keeper))
    counts = cli.counts()
    assert (counts["ready"], counts["leased"]) == (1, 0)
    assert waiting(cli) == [1], "as with any worker that was killed"


def test_a_killed_keeper_is_replaced_by_the_worker(cli, read_until, wait_for):
    cli("push", "hello:sleep", "seconds:=2")
    running = cli.start("run", "hello", "--solo", "--log-format", "off")
    read_until(running, "sleeping")
    [keeper] = children(running.pid)
    os.kill(keeper, signal.SIGKILL)
    wait_for(lambda: any(pid != keeper for pid in children(running.pid)))
    running.terminate()
    assert running.wait(10) == 0
    assert cli.counts().get("leased", 0) == 0


def test_a_task_that_ends_every_solo_worker_is_a_dead_letter_in_the_end(cli, wait_for):
    cli.write(
        "poison.py",
        "import os\nfrom regiment import Queue\n"
        "hello = Queue('hello', max_deliveries=2, poison_delays=(0.0,))\n"
        "@hello.task\ndef bad(): os._exit(11)\n@hello.task\ndef good(): print('good')\n",
    )
    cli("push", "poison:bad")
    cli("push", "poison:good")
    for _ in range(2):
        assert cli("run", "poison", "--solo", "--log-format", "off").code == 11
        wait_for(lambda: cli.counts()["leased"] == 0)
    last = cli("run", "poison", "--solo", "--burst", "--log-format", "off")
    assert (last.code, last.out) == (1, "good\n")
    (letter,) = cli("dead", "list", "--json").document["letters"]
    assert (
        "ended its worker 2 times; the last reason that is known: its process ended in the foreground (--solo)"
        in str(letter)
    )
