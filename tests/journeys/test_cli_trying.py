"""`regiment dead try`: from a dead letter to the line of code, in this terminal, and nothing is settled."""

from __future__ import annotations

POST = """
from regiment import Fail, Queue, Retry, current

post = Queue("post", max_retries=0)

@post.on("initialize")
def begin():
    print("begins")

@post.on("failure")
def failed(task, exception):
    print("told of a failure")

def address(name):
    return {"ada": "ada@example"}[name]

@post.task
def send(name: str, password: str = "") -> None:
    current().progress(1, 2, "looking")
    current().commit.keep("sent", name)
    text = address(name)
    print("sent to", text, "answer", input())

@post.task
def wait() -> None:
    raise Retry(delay=5)
"""

AIR = """
import asyncio
from regiment import Queue

air = Queue("air", max_retries=0, executor="asyncio")

@air.on("initialize")
async def begin():
    air.loop = asyncio.get_running_loop()

@air.task
async def fly(n: int) -> None:
    await asyncio.sleep(0)
    assert air.loop is asyncio.get_running_loop()
    print("lands", 1 / n)
"""


def dies(cli, *pushes: str) -> None:
    cli.write("post.py", POST)
    cli.write("air.py", AIR)
    for push in pushes:
        assert cli("push", *push.split()).code == 0
    cli("run", "post", "air", "--burst", "--log-format", "off")


def test_a_letter_fails_here_as_it_failed_there_and_stays(cli):
    dies(cli, "post:send name=bob --id t")
    answer = cli("dead", "try", "t", "-A", "post")
    assert answer.code == 1 and answer.out == "begins\n", "no handler of its end is called"
    said = answer.err.splitlines()
    assert said[1] == 'trying send t of "post", which died as failure; the letter stays'
    assert said[2:5] == [
        "progress 1 of 2 looking",
        "not done: commit.keep of 'sent'",
        "Traceback (most recent call last):",
    ]
    assert "in send" in said[5] and "regiment" not in answer.err.split("Traceback")[1], (
        "the frames are the application's"
    )
    assert "KeyError: 'bob'" in answer.err
    assert said[-1].startswith("failed after 0.") and said[-1].endswith("s at post.py line 15; the letter stays")
    assert (cli.counts("post")["dead"], cli.counts("post")["ready"]) == (1, 0)


def test_a_letter_whose_cause_is_gone_succeeds_with_stdin_and_says_how_to_go_on(cli):
    dies(cli, "post:send name=bob --id t")
    cli.write("post.py", POST.replace('{"ada"', '{"bob": "b@example", "ada"'))
    answer = cli("dead", "try", "t", "-A", "post", stdin="fine\n")
    assert (answer.code, answer.out) == (0, "begins\nsent to b@example answer fine\n")
    assert answer.err.splitlines()[-1].endswith("; regiment dead replay t runs it in a worker")
    assert cli.counts("post")["dead"] == 1


def test_the_debugger_opens_where_it_fails(cli):
    dies(cli, "post:send name=bob password=hunter2 --id t")
    answer = cli("dead", "try", "t", "--pdb", stdin="p name\nup\np password\nq\n", REGIMENT_APP="post")
    assert answer.code == 1
    assert "post.py(15)address()" in answer.out and "'bob'" in answer.out and "'hunter2'" in answer.out


def test_a_coroutine_is_tried_on_the_loop_of_its_hooks(cli):
    dies(cli, "air:fly n:=0 --id t")
    answer = cli("dead", "try", "t", "-A", "air")
    assert answer.code == 1 and "ZeroDivisionError" in answer.err and "at air.py line 15" in answer.err
    cli.write("air.py", AIR.replace("1 / n", "n"))
    assert cli("dead", "try", "t", "-A", "air").out == "lands 0\n"


def test_what_cannot_be_tried_is_said_in_words(cli):
    dies(cli, "post:send name=bob --id t", "post:wait --id w")
    asked = cli("dead", "try", "w", "-A", "post")
    assert asked.code == 1 and "the task asked for retry" in asked.err
    for line, code, words in [
        ("dead try t", 2, "no application is named, and the task's code is in it: -A MODULE"),
        ("dead try nobody -A post", 1, 'no dead letter "nobody"'),
        ("dead try t -A air", 3, 'no worker of "air" has the queue "post"; its queues: air'),
    ]:
        answer = cli(*line.split())
        assert answer.code == code and words in answer.err, line
    cli.write("post.py", POST.replace("def send(", "def mail("))
    answer = cli("dead", "try", "t", "-A", "post")
    assert answer.code == 3 and 'the queue "post" has no task named "send" here; there are: mail, wait' in answer.err
