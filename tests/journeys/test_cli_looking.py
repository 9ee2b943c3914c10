"""Looking at stores, plugins and configurations: what is shown, where, and that nothing is changed by it."""

from __future__ import annotations

import json
import sqlite3
import time

CRAWL = """
from typing import Annotated
from regiment import Timeouts, Use, Worker, WorkerConfig

class Crawl(Worker):
    config = WorkerConfig(name="crawl", connector="sqlite:///{folder}/crawl.db", max_retries={retries}, timeouts=Timeouts(30))
    def work(self, task):
        self.retry(task, delay=30)

class Remote(Worker):
    def generate_config(self):
        return WorkerConfig(name="remote", connector=Use("redis", url="redis://bob:hunter2@db1:6379/0", password="hunter3"))
    def work(self, task): ...
"""

PLUGIN = '''
import click
from regiment.hooks import Offer, hookimpl

@hookimpl
def regiment_commands():
    return {"shout": Offer("shouting:shout", summary="Say it loud.")}

@click.command("shout")
@click.argument("word")
def shout(word):
    """Say it loud."""
    click.echo(word.upper())
'''


def test_looking_creates_nothing(cli):
    for line in (
        "queues",
        "queues --json",
        "dead",
        "dead list --group",
        "check hello --connect",
    ):
        assert cli(*line.split()).code == 0, line
    assert sorted(path.name for path in cli.folder.iterdir()) == ["hello.py"]


def test_the_first_line_on_stderr_says_which_store_and_who_chose_it(cli):
    url = f"sqlite:///{cli.folder}/other.db"
    cli.write(
        "app.py",
        f"from regiment import Queue\nq = Queue('q', connector={url!r})\n@q.task\ndef f(): pass\n",
    )
    first = [
        cli("queues", **env).err.splitlines()[0] if not args else cli("queues", *args, **env).err.splitlines()[0]
        for args, env in [
            ((), {}),
            (("--connector", url), {}),
            ((), {"REGIMENT_CONNECTOR": url}),
            (("-A", "app:q"), {}),
            ((), {"REGIMENT_APP": "app"}),
        ]
    ]
    assert first == [
        f"store: {cli.folder}/.regiment/queue.db, from the default (REGIMENT_CONNECTOR is not set)",
        f"store: {cli.folder}/other.db, from --connector",
        f"store: {cli.folder}/other.db, from the environment (REGIMENT_CONNECTOR)",
        f"store: {cli.folder}/other.db, from -A app:q: WorkerConfig(connector=…)",
        f"store: {cli.folder}/other.db, from REGIMENT_APP app: WorkerConfig(connector=…)",
    ]


def test_queues_shows_what_waits_and_json_is_alone_on_stdout(cli):
    cli("push", "hello:greet", "name=Ada")
    cli("push", "hello:greet", "name=Bob", "--delay", "1h")
    table = cli("queues").out.splitlines()
    assert table[0].split() == [
        "QUEUE",
        "READY",
        "DELAYED",
        "LEASED",
        "DEAD",
        "OLDEST",
        "WORKERS",
        "RATE",
    ]
    assert table[1].split()[:5] == ["hello", "1", "1", "0", "0"]
    found = cli.counts()
    assert (found["ready"], found["delayed"], found["leased"], found["dead"]) == (1, 1, 0, 0)


def test_purge_names_queue_and_count_and_asks(cli):
    cli("push", "hello:greet", "--kwargs", "-", stdin='{"name": "Ada"}\n' * 3)
    refused = cli("queues", "purge", "hello")
    assert refused.code == 2
    assert 'Delete 3 tasks (3 ready, 0 delayed) of the queue "hello"' in refused.err
    assert "--yes" in refused.err and cli.counts()["ready"] == 3
    assert 'deleted 3 tasks of "hello"' in cli("queues", "purge", "hello", "--yes").err
    assert cli.counts().get("ready", 0) == 0


def test_a_dead_letter_is_listed_grouped_shown_and_replayed(cli):
    cli("push", "hello:divide", "number:=7", "--id", "seven")
    cli("push", "hello:divide", "number:=8")
    cli("run", "hello", "--burst", "--log-format", "off")

    rows = cli("dead").out.splitlines()
    assert len(rows) == 3 and "ZeroDivisionError: division by zero" in rows[1]
    [group] = cli("dead", "list", "--group", "--json").document["groups"]
    assert (group["count"], group["error_type"], group["name"]) == (
        2,
        "ZeroDivisionError",
        "divide",
    )

    shown = cli("dead", "show", "seven").out
    for words in (
        "divide seven",
        "reason      failure",
        "ZeroDivisionError: division by zero",
        "number = 7",
        "number / 0",
    ):
        assert words in shown
    document = cli("dead", "show", "seven", "--json").document
    assert document["kwargs"] == {"number": 7} and document["queue"] == "hello"

    dry = cli("dead", "replay", "hello", "--dry-run")
    assert "would replay 2 dead letters" in dry.err
    assert "replayed 1 dead letter" in cli("dead", "replay", "hello", "seven").err
    counts = cli.counts()
    assert (counts["dead"], counts["ready"]) == (1, 1)
    assert cli("dead", "replay", "hello", "nobody").code == 1
    assert "replayed 1 dead letter" in cli("dead", "replay", "hello", "--rate", "50/s").err

    cli("run", "hello", "--burst", "--log-format", "off")
    assert cli.counts()["dead"] == 2
    assert cli("dead", "purge", "hello").code == 2
    assert "deleted 2 dead letters" in cli("dead", "purge", "hello", "--yes").err


def test_a_replayed_task_has_all_its_retries_again_and_no_expiry_that_has_passed(cli):
    cli.write(
        "tries.py",
        """
from regiment import Backoff, Queue, current
q = Queue("tries", max_retries=1, backoff=Backoff(first=0.05))
@q.task
def fail():
    print("run", current().task.run_count, flush=True)
    raise ValueError
""",
    )
    cli("push", "tries:fail", "--expires", "4s")
    expired = time.monotonic() + 4
    first = cli("run", "tries", "--burst", "--log-format", "off")
    assert first.out.split("\n")[:2] == ["run 0", "run 1"]
    time.sleep(max(0.0, expired - time.monotonic()))
    replayed = cli("dead", "replay", "tries")
    assert "1 had expired; their expiry was taken off" in replayed.err
    assert cli("run", "tries", "--burst", "--log-format", "off").out == first.out


def test_what_is_replayed_keeps_the_serializer_and_compressor_it_was_pushed_with(cli):
    cli.write(
        "odd.py",
        """
from regiment import Backoff, Queue
q = Queue("odd", serializer="json", compressor="zlib", max_retries=1, backoff=Backoff(first=0.05))
@q.task
def fail(text): raise ValueError
""",
    )
    cli("push", "odd:fail", f"text={'x' * 1000}")
    cli("run", "odd", "--burst", "--log-format", "off")
    before = cli("dead", "list", "--json").document["letters"][0]
    assert "replayed 1" in cli("dead", "replay", "odd").err
    with sqlite3.connect(cli.folder / ".regiment" / "queue.db") as db:
        [(payload,)] = db.execute("SELECT payload FROM tasks").fetchall()
    assert b"json" in payload[:10] and b"zlib" in payload[:16]
    assert before["name"] == "fail"


def test_the_post_mortem_of_a_killed_task_can_be_read(cli):
    cli.write(
        "stuck.py",
        """
import time
from regiment import Queue, Timeouts
q = Queue("stuck", timeouts=Timeouts(hard=0.4, soft=0.2))
@q.task
def hang():
    while True:
        try:
            time.sleep(5)
        except BaseException:
            pass
""",
    )
    pushed = cli("push", "stuck:hang", "--json").document
    assert cli("run", "stuck", "--burst", "--log-format", "off").code == 1
    shown = cli("dead", "show", pushed["id"]).out
    for words in (
        "reason      timeout",
        "post-mortem",
        "seconds   0.",
        "MiB resident",
        "stacks",
        "stuck.py",
    ):
        assert words in shown, shown


def test_plugins_lists_what_each_offers_and_json_has_it_all(cli):
    rows = cli("plugins").out
    assert "PLUGIN" in rows and "connectors local, memory" in rows and "regiment-local" in rows
    found = {one["plugin"]: one for one in cli("plugins", "--json").document["plugins"]}
    assert found["local"]["state"] == "ok" and found["local"]["version"]
    assert found["local"]["offers"]["connectors"]["local"]["schemes"] == ["sqlite"]
    shown = cli("plugins", "show", "local").out
    assert "connector local" in shown and "option busy_timeout: float, default 5.0" in shown


def test_a_broken_plugin_is_a_line_in_the_list_and_an_error_where_it_was_named(cli):
    cli.write("bad_plugin.py", "raise RuntimeError('no such luck')\n")
    listed = cli("plugins", "--plugin", "bad_plugin")
    assert listed.code == 0
    assert "bad_plugin: RuntimeError: no such luck" in listed.err and "broken" in listed.out
    pushed = cli("--plugin", "bad_plugin", "push", "hello:greet", "name=Ada")
    assert pushed.code == 6 and "bad_plugin" in pushed.err and "no such luck" in pushed.err
    assert cli("queues", "--json").document["queues"] == [], "nothing was pushed"
    assert cli("push", "hello:greet", "name=Ada").code == 0


def test_a_plugin_that_leaves_while_it_is_imported_ends_no_command(cli):
    cli.write("leaving.py", "import sys; sys.exit(4)\n")
    listed = cli("plugins", "--plugin", "leaving")
    assert listed.code == 0 and "leaving: SystemExit: 4" in listed.err and "broken" in listed.out
    pushed = cli("--plugin", "leaving", "push", "hello:greet", "name=Ada")
    assert pushed.code == 6 and "leaving" in pushed.err


def test_a_blocked_plugin_says_so_and_what_it_had_is_missed_in_words(cli):
    found = {one["plugin"]: one for one in cli("plugins", "--no-plugin", "local", "--json").document["plugins"]}
    assert found["local"]["state"] == "blocked"
    answer = cli("queues", REGIMENT_NO_PLUGINS="local")
    assert answer.code == 6
    assert 'no connector named "local"' in answer.err and "blocked by --no-plugin" in answer.err


def test_a_plugin_adds_a_command(cli):
    cli.write("shouting.py", PLUGIN)
    assert cli("--plugin", "shouting", "shout", "hey").out == "HEY\n"
    assert "Say it loud." in cli("--plugin", "shouting", "--help").out
    assert cli("shout", "hey").code == 2


def test_config_shows_each_value_and_its_origin_and_no_secret(cli):
    cli.write("app.py", CRAWL.format(folder=cli.folder, retries=0))
    document = cli("config", "app", "--json").document
    crawl, remote = document["app:Crawl"], document["app:Remote"]
    assert crawl["timeouts"]["from"] == "class attribute Crawl.config"
    assert crawl["lease"] == {"value": "30.0", "from": "default"}
    assert crawl["killer"] == {"value": "process", "from": "default of executor serial"}
    assert remote["name"]["from"] == "Remote.generate_config()"
    text = cli("config", "app").out
    assert (
        "hunter" not in text + json.dumps(document)
        and "redis://db1:6379/0" in text
        and "bob" not in text
        and "password=***" in text
    )
    hello = cli("config", "hello", "--json", REGIMENT_CONNECTOR="sqlite:////tmp/x.db").document["hello:hello"]
    assert hello["connector"]["from"] == "the environment (REGIMENT_CONNECTOR)"
    assert hello["name"]["from"] == "keyword of Queue(…)"


def test_check_reports_all_problems_of_all_targets_at_once(cli):
    cli.write(
        "bad.py",
        """
from regiment import Queue, Worker, WorkerConfig
q = Queue("q", lease=-1, serializer="jsn")
@q.task(max_retries="x")
def f(): pass
@q.task
async def g(): pass
class Late(Worker):
    config = {"name": "x"}
    def work(self, task): pass
""",
    )
    answer = cli("check", "bad", "nowhere", "hello")
    assert answer.code == 3, "a target that is not there outweighs a setting"
    assert answer.out == "ok: hello:hello\n"
    for words in (
        "lease is -1",
        'no serializer named "jsn"',
        "task 'f': max_retries is 'x'",
        "expected a WorkerConfig",
        'no module named "nowhere"',
    ):
        assert words in answer.err
    assert cli("check", "bad:Late").code == 5
    assert cli("check", "bad:q").code == 6
    assert cli("check", "hello").code == 0


def test_check_warns_of_retries_that_cannot_be(cli):
    cli.write("app.py", CRAWL.format(folder=cli.folder, retries=0))
    answer = cli("check", "app:Crawl", "--json")
    assert answer.code == 0
    [warning] = answer.document["warnings"]
    assert "self.retry is called in line 8 and max_retries is 0" in warning["text"]
    cli.write("more.py", CRAWL.format(folder=cli.folder, retries=3))
    assert cli("check", "more:Crawl", "--json").document["warnings"] == []


def test_check_connect_says_of_a_file_that_is_not_there_whether_it_can_be(cli):
    text = 'from regiment import Queue\nq = Queue("q", connector="sqlite:///{}/queue.db")\n@q.task\ndef work(): ...\n'
    (cli.folder / "near.py").write_text(text.format(cli.folder / "new"))
    answer = cli("check", "near", "--connect")
    assert answer.code == 0 and "answers" in answer.err and "the first push or run makes it" in answer.err, answer.err
    (cli.folder / "far.py").write_text(text.format(cli.folder / "no" / "such"))
    answer = cli("check", "far", "--connect")
    assert answer.code == 4 and "answers" not in answer.err and "nothing was made" in answer.err, answer.err
    assert not (cli.folder / "no").exists() and not (cli.folder / "new").exists()


def test_check_connect_says_that_a_store_refuses(cli):
    cli.write("app.py", CRAWL.format(folder=cli.folder, retries=3))
    assert cli("check", "app:Crawl", "--connect").code == 0
    cli.write("crawl.db", "certainly no database " * 50)
    answer = cli("check", "app:Crawl", "--connect")
    assert answer.code == 4
    assert "crawl.db" in answer.err and "Traceback" not in answer.err


def test_check_warns_of_a_lease_that_a_store_held_up_for_seconds_costs(cli):
    cli.write(
        "brief.py",
        "from regiment import Queue\nq = Queue('brief', lease=6)\n@q.task\ndef f(): pass\n",
    )
    answer = cli("check", "brief:q")
    assert answer.code == 0
    assert "warning: brief:q: lease is 6 s, and below 10" in answer.err


def test_check_warns_of_a_signed_queue_that_reads_unsigned_messages(cli):
    app = """
from regiment import Queue
from regiment_serializers import Signed
both = Queue("both", serializer=Signed(keys=("a secret of some length",)))
shut = Queue("shut", serializer=Signed(keys=("a secret of some length",)), accept=("signed",))

@both.task
def one(): ...

@shut.task
def other(): ...
"""
    cli.write("signing.py", app)
    answer = cli("check", "signing")
    assert answer.code == 0 and "some length" not in answer.err
    warnings = [line for line in answer.err.splitlines() if line.startswith("warning:")]
    assert len(warnings) == 1 and "both" in warnings[0] and "unsigned messages run too" in warnings[0]


def test_a_signed_letter_is_shown_and_replayed_where_its_key_is_known(cli):
    app = """
from regiment import Queue
from regiment_serializers import Signed
q = Queue("signed", max_retries=0, serializer=Signed(keys=("a secret of some length",)), accept=("signed",))

@q.task
def divide(number: int):
    number / 0
"""
    cli.write("signing.py", app)
    cli("push", "signing:divide", "number:=7", "--id", "seven")
    cli("run", "signing", "--burst", "--log-format", "off")
    assert cli("dead", "show", "seven", "-A", "signing", "--json").document["kwargs"] == {"number": 7}
    assert 'needs the option "keys"' in cli("dead", "show", "seven", "--json").document["unreadable"]
    assert "replayed 1 dead letter" in cli("dead", "replay", "signed", "-A", "signing").err
    cli("run", "signing", "--burst", "--log-format", "off")
    [again] = cli("dead", "list", "signed", "--json").document["letters"]
    assert again["kind"] == "failure" and again["id"] == "seven"


def test_a_list_of_a_queue_that_is_worked_off_says_that_nothing_is_there(cli):
    cli("push", "hello:greet", "name=Ada")
    for line in (("dead", "list", "helo"), ("tasks", "list", "helo"), ("dead", "list", "helo", "--group")):
        answer = cli(*line)
        assert answer.code == 0 and not answer.out
        assert 'nothing of a queue named "helo" is in ' in answer.err
        assert 'Did you mean "hello"? Queues there: hello' in answer.err
    assert cli("dead", "list", "helo", "--json").document["letters"] == []
    assert cli("tasks", "lst").code == 1, "a verb that is mistyped is an error"


def test_a_push_to_a_paused_queue_says_so(cli):
    cli("queues", "pause", "hello")
    said = cli("push", "hello:greet", "name=Ada")
    assert "the queue is paused: regiment queues resume hello; no worker is alive yet" in said.err
    assert cli("push", "hello:greet", "name=Bob", "--json").document["paused"] is True
    cli("queues", "resume", "hello")
    assert "the queue is paused" not in cli("push", "hello:greet", "name=Eve").err


def test_a_burst_that_waits_for_delayed_tasks_says_so_once(cli):
    cli("push", "hello:greet", "name=Ada", "--delay", "4s")
    ran = cli("run", "hello", "--burst", "--log-format", "json")
    assert (ran.code, ran.out) == (0, "hello Ada\n")
    told = [json.loads(line) for line in ran.err.splitlines() if "worker.waiting" in line]
    assert len(told) == 1
    assert (told[0]["queue"], told[0]["ready"], told[0]["delayed"]) == ("hello", 0, 1)
    assert 0 < told[0]["next_in"] <= 4


def test_a_burst_that_ends_at_once_says_nothing_of_waiting(cli):
    cli("push", "hello:greet", "name=Ada")
    assert "worker.waiting" not in cli("run", "hello", "--burst", "--log-format", "json").err
