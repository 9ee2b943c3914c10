"""The application that trees of the tests run: one queue whose tasks misbehave on request."""

from __future__ import annotations

HEAD = """\
import ctypes, gc, os, re, signal, socket, sys, threading, time
from regiment import Backoff, Queue, Requeue, Respawn, Retry, Fail, Stop, Timeouts, Use, current

LEDGER = os.open({ledger!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def write(*words):
    os.write(LEDGER, (" ".join(map(str, words)) + "\\n").encode())


def at():
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def begin(n):
    write("S", n, os.getpid(), current().task.delivery_count, at())


def end(n):
    write("E", n, os.getpid(), current().task.delivery_count, at())


work = Queue({queue!r}, connector={connector}, {settings})
"""

TASKS = '''

@work.task
def nap(n, seconds=0.0):
    """Sleep, as a task that waits for something does."""
    begin(n)
    if seconds:
        time.sleep(seconds)
    end(n)


@work.task
def held(n, seconds):
    """Keep the GIL in C for so long."""
    begin(n)
    ctypes.PyDLL(None).usleep(int(seconds * 1e6))
    end(n)


@work.task
def endless(n):
    """Compute in C for ever: holds the GIL, and looks at no signal."""
    begin(n)
    sum(range(1 << 60))
    end(n)


@work.task
def regex(n):
    """A regular expression that never ends, and holds the GIL."""
    begin(n)
    re.match(r"(a+)+$", "a" * 40 + "b")
    end(n)


@work.task
def deaf(n):
    """Catch whatever comes, and go on."""
    begin(n)
    while True:
        try:
            while True:
                time.sleep(0.01)
        except BaseException:
            pass


@work.task
def crash(n, how):
    """End the process."""
    begin(n)
    if how == "exit":
        os._exit(11)
    elif how == "segfault":
        ctypes.string_at(0)
    elif how == "abort":
        os.abort()
    elif how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)


@work.task
def leave(n, how):
    """Raise what would end a plain program."""
    begin(n)
    if how == "exit":
        sys.exit(0)
    elif how == "interrupt":
        raise KeyboardInterrupt
    elif how == "generator":
        raise GeneratorExit
    end(n)
'''

HOOKS = """

def tell(outcome):
    def told(task, *_):
        write("O", task.kwargs.get("n", 0), outcome, os.getpid(), at())
    return told


for outcome in ("success", "failure", "timeout", "retry", "requeue", "stop", "max_retries", "cancel", "dead"):
    work.on(outcome)(tell(outcome))
"""


def text(ledger: str, connector: str, queue: str, settings: str, *, hooks: bool, body: str) -> str:
    """The module's source. `settings` are keyword arguments of the queue, `body` is more source behind it."""
    head = HEAD.format(ledger=ledger, connector=connector, queue=queue, settings=settings)
    return head + TASKS + (HOOKS if hooks else "") + "\n\n" + body
