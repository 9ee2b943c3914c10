"""Every mistake at the command line gets one clear error, its exit code, and no traceback."""

from __future__ import annotations

import pytest

CASES = [
    # what is typed, exit code, what the error must say
    ("rnu hello", 2, ['no command "rnu"', 'Did you mean "run"?']),
    ("queues prge hello", 2, ['no "prge"', 'Did you mean "purge"?']),
    ("run hello --wokers 2", 2, ["--wokers", "--workers"]),
    ("run", 2, ["TARGET"]),
    ("run hello=x", 2, ["'x' is no number of workers", "1..8"]),
    ("run hello hello", 2, ['the target "hello" is named twice']),
    ("run hello --stop-timeout soon", 2, ["'soon' is no duration", "25s"]),
    ("run hello --solo --workers 2", 2, ["--solo runs one worker"]),
    ("run hello --app-dir nowhere", 2, ["'nowhere' is no folder"]),
    ("run hello.py", 3, ['no module named "hello.py"; did you mean "hello"?']),
    ("run helo", 3, ['no module named "helo"', 'Did you mean "hello"?']),
    ("run hello:sys", 3, ["is a module; expected a subclass of regiment.Worker or a regiment.Queue"]),
    ("run empty", 3, ['module "empty" has no worker']),
    ("run hollow", 3, ['"hollow:none" has no task']),
    ("run idle", 3, ['"idle:Idle" defines no work(self, task)']),
    ("run broken", 3, ['cannot load "broken"', "broken.py line 2: import htpx", "No module named 'htpx'", "your code"]),
    ("run typo", 3, ['cannot load "typo"', "typo.py line 1", "SyntaxError"]),
    ("run pushy", 3, ['"pushy" pushes a task while it is imported', "pushy.py line 6", '__name__ == "__main__"']),
    ("run bad", 5, ["lease is -1", "max_retries is 'x'"]),
    ("run field", 5, ['WorkerConfig has no field "max_retrys". Did you mean "max_retries"?']),
    ("run reddis", 6, ['no connector named "rediss_"', "installed: local, memory"]),
    ("run scheme", 6, ['no connector for "local://"', "memory://, ", 'Did you mean "sqlite://"?']),
    ("run family", 6, ['no connector named "sqlite"', 'Addresses that begin with "sqlite://" are local\'s']),
    ("run memory", 5, ["lives in one process", "--solo"]),
    ("push hello:gret name=Ada", 3, ['has no task "gret"', 'Did you mean "greet"?']),
    ("push hello name=Ada", 3, ['"hello" names no task; expected module:Name']),
    ("push hello:hello name=Ada", 3, ["is a queue; name one of its tasks: greet"]),
    ("push hello:greet nme=Ada", 1, ["needs name; got nme"]),
    ("push hello:greet Ada Bob", 2, ["'Bob' is one argument too many; expected key=text or key:=json"]),
    ("push hello:greet name:=Ada", 2, ["name:= is 'Ada', which is no JSON"]),
    ("push hello:greet name=Ada --at 2030-01-31T08:00:00", 2, ["has no time zone"]),
    ("push hello:greet name=Ada --delay 5s --at 1900000000", 1, ["delay and at were both given"]),
    ("queues purge nothing --yes", 1, ['no queue named "nothing"']),
    ("dead show 12345", 1, ['no dead letter "12345"']),
    ("plugins show msgpck", 6, ['named "msgpck"', 'Did you mean "msgpack"?']),
    ("check brief:q", 5, ["lease is 1 s; expected 4 or more", "a keeper that hangs is replaced after 2.5 s"]),
    ("run brief:q", 5, ["lease is 1 s; expected 4 or more", "a keeper that hangs is replaced after 2.5 s"]),
    ("run brief:q --solo", 5, ["lease is 1 s; expected 4 or more", "a keeper that hangs is replaced after 2.5 s"]),
    (
        "queues --connector mongodb+srv://u:hunter2@h/ --no-plugin mongo --no-plugin regiment-mongo",
        6,
        ['no connector for "mongodb+srv://"', "regiment-mongo"],
    ),
]

FILES = {
    "empty.py": "x = 1\n",
    "hollow.py": "from regiment import Queue\nnone = Queue('none')\n",
    "idle.py": "from regiment import Worker, WorkerConfig\nclass Idle(Worker):\n    config = WorkerConfig(name='idle')\n",
    "broken.py": "from regiment import Queue\nimport htpx\n",
    "typo.py": "def (:\n",
    "pushy.py": "from regiment import Queue\nq = Queue('pushy')\n@q.task\ndef f():\n    pass\nf.push()\n",
    "bad.py": "from regiment import Queue\nq = Queue('bad', lease=-1, max_retries='x')\n@q.task\ndef f(): pass\n",
    "brief.py": "from regiment import Queue\nq = Queue('brief', lease=1.0)\n@q.task\ndef f(): pass\n",
    "field.py": "from regiment import Queue\nq = Queue('field', max_retrys=1)\n",
    "reddis.py": "from regiment import Queue\nq = Queue('r', connector='rediss_')\n@q.task\ndef f(): pass\n",
    "scheme.py": "from regiment import Queue\nq = Queue('s', connector='local:///x.db')\n@q.task\ndef f(): pass\n",
    "family.py": "from regiment import Queue\nq = Queue('f', connector='sqlite')\n@q.task\ndef f(): pass\n",
    "memory.py": "from regiment import Queue\nq = Queue('m', connector='memory')\n@q.task\ndef f(): pass\n",
}


@pytest.mark.parametrize(("line", "code", "words"), CASES, ids=[case[0] for case in CASES])
def test_a_mistake_is_told_in_words(cli, line, code, words):
    for name, text in FILES.items():
        cli.write(name, text)
    answer = cli(*line.split(), *(["--log-format", "off"] if line.startswith("run") else []))
    for word in words:
        assert word in answer.err
    assert answer.err.count("error: ") == 1, answer.err
    assert "Traceback" not in answer.err and "hunter2" not in answer.err
    assert answer.code == code
    assert not (cli.folder / ".regiment").exists(), "nothing was queued, nothing was made"


def test_a_worker_that_cannot_start_names_the_error_and_its_line(cli):
    cli.write("unready.py", UNREADY)
    answer = cli("run", "unready", "--solo", "--log-format", "off")
    assert "the worker cannot start: RuntimeError: no database" in answer.err
    assert "  unready.py line 5, in initialize: connect()" in answer.err
    assert "  unready.py line 7, in connect: raise RuntimeError('no database')" in answer.err
    assert answer.err.count("error: ") == 1 and "Traceback" not in answer.err
    assert answer.code == 7


UNREADY = """from regiment import Worker, WorkerConfig
class Unready(Worker):
    config = WorkerConfig(name='unready')
    def initialize(self):
        connect()
def connect():
    raise RuntimeError('no database')
Unready.work = lambda self, task: None
"""


def test_debug_shows_the_traceback_too(cli):
    plain, debug = cli("push", "hello:gret"), cli("push", "hello:gret", "--debug")
    assert "Traceback" not in plain.err
    assert "Traceback" in debug.err and 'error: module "hello" has no task "gret"' in debug.err


def test_a_wrong_line_of_stdin_says_which_and_what_was_queued_before(cli):
    answer = cli("push", "hello:greet", "--kwargs", "-", stdin='{"name": "Ada"}\nnonsense\n')
    assert answer.code == 2
    assert "line 2 of stdin is 'nonsense', which is no JSON" in answer.err
    assert "0 tasks of the lines before were queued" in answer.err


def test_help_names_what_is_built_and_nothing_that_is_not(cli):
    said = cli("--help").out
    for verb in (
        "run",
        "push",
        "queues",
        "dead",
        "workers",
        "top",
        "health",
        "config",
        "check",
        "plugins",
        "demo",
        "completion",
    ):
        assert f"\n  {verb} " in said
    options = cli("run", "--help").out
    for option in ("--preload", "--reload", "--max-memory", "--heartbeat"):
        assert option in options


def test_version_is_told(cli):
    assert cli("--version").out.startswith("regiment 0.")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_can_complete_the_verbs(cli, shell):
    script = cli("completion", shell)
    assert script.code == 0 and "_REGIMENT_COMPLETE" in script.out


def test_completion_offers_verbs_and_options(cli):
    answer = cli(_REGIMENT_COMPLETE="bash_complete", COMP_WORDS="regiment pl", COMP_CWORD="1")
    assert answer.out == "plain,plugins\n"
