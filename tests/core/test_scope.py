"""Scope: what a plugin acts on. What is installed acts everywhere; what a queue names acts for that queue, and nowhere else."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from regiment import ArgumentsError, ConfigError, PluginError, Pushed, Queue, Use, current
from regiment.hooks import hookimpl
from regiment.registry import registry
from regiment_testing import capture

MINE = f"{__name__}:Marking"


class Marking:
    """An extension: marks what is pushed, and notes which process it was made in."""

    def __init__(self, mark: str = "-") -> None:
        self.mark = mark

    @hookimpl
    def regiment_push(self, push: Any) -> None:
        push.headers["mark"] = push.headers.get("mark", "") + self.mark

    @hookimpl
    def regiment_push_options(self) -> dict[str, str]:
        return {"lane": "which lane"} if self.mark == "lanes" else {}


def note(function_name: str = "note") -> None:
    """A task."""


def a_queue(name: str, *plugins: Any) -> Any:
    """A queue with one task."""
    return Queue(name, plugins=list(plugins)).task(note)


@pytest.mark.parametrize("order", [("red", "blue"), ("blue", "red")])
def test_two_queues_of_one_process_have_different_settings_of_one_extension(order: tuple[str, str]) -> None:
    tasks = {mark: a_queue(mark, Use(MINE, mark=mark)) for mark in ("red", "blue")}
    plain = a_queue("plain")
    with capture() as queue:
        for mark in order:
            tasks[mark].push()
        plain.push()
        assert [one.task.headers for one in queue.pushed] == [{"mark": mark} for mark in order] + [None]


def test_plugins_act_in_the_order_of_the_list_and_two_objects_of_one_class_both_count() -> None:
    task = a_queue("both", Marking("1"), Use(MINE, mark="2"), Marking("3"), Use(MINE, mark="2"))
    with capture() as queue:
        task.push()
        assert queue.pushed[0].task.headers == {"mark": "1232"}


def test_the_registry_is_not_changed_by_what_a_queue_names() -> None:
    before = [plugin.name for plugin in registry().plugins]
    scope = registry().scope([Marking("x")])
    assert [plugin.name for plugin in scope.plugins] == [*before, "Marking"]
    assert [plugin.name for plugin in registry().plugins] == before
    assert registry().hooks("regiment_push") == [] and len(scope.hooks("regiment_push")) == 1
    assert registry().scope(()) is registry()
    assert registry().scope([Use(MINE, mark="y")]) is registry().scope([Use(MINE, mark="y")])


def test_what_plugins_say_of_themselves_is_that_of_the_process_and_then_that_of_the_queue() -> None:
    from regiment.registry import Registry

    class Everywhere:
        needs = frozenset({"effects"})
        understands = frozenset({"traces"})

    class Here:
        understands = frozenset({"flows"})

    base = Registry(extra=[Everywhere()])
    scope = base.scope([Here()])
    assert scope.said("needs") == base.said("needs") == {"effects": "Everywhere"}
    assert scope.said("understands") == {"traces": "Everywhere", "flows": "Here"}
    assert base.said("understands") == {"traces": "Everywhere"}


PROGRAM = """
import json, os, sys
from regiment import Queue, Use

def make(mark):
    queue = Queue(mark, connector=f"sqlite:///{sys.argv[1]}/q.db", plugins=[Use("core.test_scope:Marking", mark=mark)])
    def work(): ...
    work.__qualname__ = "work"
    return queue.task(work)

first, second = make("first"), make("second")
first.push()
if os.fork() == 0:  # in the child the first is there already, the second is built there
    second.push()
    first.push()
    os._exit(0)
os.wait()
for task in (first, second):
    with task.queue.broker.connector() as connector:
        for one in connector.peek(task.queue.name, "ready", 10):
            print(task.name, task.queue.broker.codec.decode(one.payload, task.queue.name).headers["mark"])
"""


def test_a_forked_child_sees_the_same_scopes(tmp_path: Path) -> None:
    tests = str(Path(__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        env={"PYTHONPATH": tests, "PATH": "/usr/bin:/bin"},
    )
    assert done.stdout == "work first\nwork first\nwork second\n", done.stderr


# What a plugin may change of a push


class Changing:
    """Does to a push what it is told to."""

    def __init__(self, **changes: Any) -> None:
        self.changes = changes
        self.seen: list[Any] = []

    @hookimpl
    def regiment_push(self, push: Any) -> None:
        self.seen.append((push.queue, push.name, len(push.tasks), push.options.get("lane")))
        for name, value in self.changes.items():
            setattr(push, name, value)


class Handle(Pushed):
    """An answer that knows more."""


def test_a_plugin_changes_headers_id_trace_delay_priority_expiry_and_the_answer() -> None:
    changes = {"id": "mine", "trace_id": "t", "delay": 5.0, "priority": "HIGH", "expires": 4e9, "answer": Handle}
    task = a_queue("changing", Changing(**changes))
    with capture() as queue:
        answer = task.push()
        assert isinstance(answer, Handle) and answer == Handle("mine", "changing", False)
        assert task.push().existed
        (one,) = queue.pushed
        assert (one.id, one.task.trace_id, one.priority, one.delay) == ("mine", "t", "HIGH", 5.0)


def test_a_bulk_push_is_one_push_for_each_round_trip() -> None:
    plugin = Changing(headers={"a": "b"})
    task = a_queue("bulk", plugin)
    with capture() as queue:
        assert task.push_many([{}] * 1500) == 1500
        assert plugin.seen == [("bulk", "note", 1000, None), ("bulk", "note", 500, None)]
        assert {tuple((one.task.headers or {}).items()) for one in queue.pushed} == {(("a", "b"),)}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"headers": {"a": 5}}, "headers is"),
        ({"priority": "URGENT"}, "priority is 'URGENT'; expected HIGH, NORMAL, LOW"),
        ({"delay": "soon"}, "a delay is 'soon'; expected seconds"),
        ({"expires": "never"}, "expires is 'never'"),
        ({"id": ""}, "id is ''; expected"),
    ],
)
def test_what_no_store_could_take_is_refused_with_the_name_of_the_plugin(change: Any, words: str) -> None:
    task = a_queue("wrong", Changing(**change))
    with capture() as queue:
        with pytest.raises(ArgumentsError, match=f"the plugin Changing has changed a push: {words}"):
            task.push()
        assert not queue.pushed


class Around:
    """Notes what it sees of pushes; fails itself if it is told to."""

    def __init__(self, fails: str = "") -> None:
        self.fails, self.seen = fails, list[str]()

    @hookimpl
    @contextlib.contextmanager
    def regiment_around_push(self, push: Any) -> Iterator[None]:
        assert self.fails != "enter"
        try:
            yield
        except Exception as error:
            self.seen.append(type(error).__name__)
            raise
        self.seen.append("stored")
        assert self.fails != "leave"


@pytest.mark.parametrize("fails", ["", "enter", "leave"])
def test_a_context_around_a_push_sees_its_end_and_its_own_errors_are_logged(fails: str, caplog: Any) -> None:
    around = Around(fails)
    task = a_queue("around", around)
    with capture() as queue:
        task.push()
        assert len(queue.pushed) == 1
        assert around.seen == ([] if fails == "enter" else ["stored"])
        assert ("plugin.error" in caplog.text) == bool(fails)


def test_a_context_around_a_push_sees_its_failure_and_keeps_nothing_from_the_caller() -> None:
    around = Around()
    task = Queue("small", plugins=[around], payload_limit=50).task(note)
    with capture(), pytest.raises(Exception, match="payload_limit"):
        task.push(function_name="n" * 100)
    assert around.seen == ["PayloadTooLarge"]


# Options


def test_an_option_of_an_extension_is_known_where_its_queue_has_it() -> None:
    plugin = Changing()
    queue = Queue("lanes", plugins=[Use(MINE, mark="lanes"), plugin])
    task = queue.task(lane="slow")(note)
    with capture():
        task.push()
        task.options(lane="fast", delay=1).push()
        queue.options(name="note", lane="by name").push()
    assert [lane for _, _, _, lane in plugin.seen] == ["slow", "fast", "by name"]
    with pytest.raises(ArgumentsError, match=r'no push option "lanes". Did you mean "lane"\?'):
        task.options(lanes=1)
    with pytest.raises(ConfigError, match=r'@task has no setting "lne". Did you mean "lane"\?'):
        queue.task(lne=1)(note)
    with pytest.raises(ArgumentsError, match='no push option "lane"'):
        a_queue("others").options(lane="fast")


class Lanes:
    """Offers an option."""

    def __init__(self, name: str) -> None:
        self.name = name

    @hookimpl
    def regiment_push_options(self) -> dict[str, str]:
        return {self.name: "something"}


def test_two_plugins_that_offer_one_option_are_an_error_that_names_both() -> None:
    task = Queue("clash", plugins=[Lanes("lane"), Use(MINE, mark="lanes")]).task(note)
    with capture(), pytest.raises(PluginError, match=r"push option 'lane' is offered by both Lanes .* and .*Marking"):
        task.push()
    for twice in ([Lanes("lane"), Lanes("lane")], [Use(MINE, mark="lanes"), Use(MINE, mark="lanes")]):
        task = Queue("twice", plugins=twice).task(note)
        with (
            capture(),
            pytest.raises(PluginError, match=r"'lane' is offered twice: (Lanes|.*:Marking) is named twice; "),
        ):
            task.push()
    task = Queue("own", plugins=[Lanes("delay")]).task(note)
    with capture(), pytest.raises(PluginError, match=r"push option 'delay' is Lanes .*'s and our own"):
        task.push()


# What was named and cannot be used


APP = (
    "from regiment import Queue, Use\nq = Queue('q', plugins=[{}])\n@q.task\ndef work(): print('worked', flush=True)\n"
)
OBJECT = "from regiment.hooks import hookimpl\nclass P:\n    @hookimpl\n    def {}(self, {}): ...\n"


def regiment(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "regiment", *args]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("plugins", "code", "words"),
    [
        ("'not_here'", 6, "the plugin not_here (plugins=) is broken: ModuleNotFoundError: No module named 'not_here'"),
        ("Use('reslts')", 6, 'no extension named "reslts"'),
        ("Use('part:Part', ttl=3)", 5, 'extension \'part:Part\' has no option "ttl". Did you mean "ttls"?'),
        ("Use('loading:P')", 6, "regiment_loading, which is asked before any queue is known"),
    ],
)
@pytest.mark.parametrize(
    "verb", [["push", "app:work"], ["check", "app"], ["run", "app", "--burst"], ["run", "app", "--solo"]]
)
def test_a_plugin_that_a_queue_names_and_cannot_have_is_an_error(
    tmp_path: Path, plugins: str, code: int, words: str, verb: list[str]
) -> None:
    (tmp_path / "app.py").write_text(APP.format(plugins))
    (tmp_path / "part.py").write_text("class Part:\n    def __init__(self, ttls: float = 1.0): ...\n")
    (tmp_path / "loading.py").write_text(OBJECT.format("regiment_loading", "target"))
    done = regiment(tmp_path, *verb)
    assert (done.returncode, words in done.stderr) == (code, True), done.stderr


@pytest.mark.parametrize("verb", [["push", "app:work"], ["check", "app"], ["run", "app", "--burst"]])
@pytest.mark.parametrize("plugins", ["None", "Part", "'part', Part", "int"])
def test_what_is_no_plugin_or_the_class_of_one_is_refused_in_words(
    tmp_path: Path, plugins: str, verb: list[str]
) -> None:
    (tmp_path / "app.py").write_text("from part import Part\n" + APP.format(plugins))
    (tmp_path / "part.py").write_text(OBJECT.format("regiment_task_started", "task").replace("class P:", "class Part:"))
    done = regiment(tmp_path, *verb)
    assert done.returncode == 5, done.stderr
    said = "expected a list of modules, extensions and objects with hooks; of a class an object"
    name = "int" if plugins == "int" else "Tally" if plugins == "None" else "Part"
    assert f"{said}, {name}() for {name}" in done.stderr


@pytest.mark.parametrize("verb", [["push", "app:work"], ["check", "app"], ["run", "app", "--burst"]])
@pytest.mark.parametrize("named", ["results", "regiment_workflows", "schedules"])
def test_a_text_that_means_an_extension_is_refused_and_what_to_write_is_said(
    tmp_path: Path, named: str, verb: list[str]
) -> None:
    name = named.removeprefix("regiment_")
    (tmp_path / "app.py").write_text(APP.format(repr(named)))
    done = regiment(tmp_path, *verb)
    said = f'"{named}" is an extension; expected Use("{name}"), or {name.title()}() of regiment_{name}'
    assert done.returncode == 6 and said in done.stderr, done.stderr


@pytest.mark.parametrize("verb", [["push", "app:work"], ["check", "app"], ["run", "app", "--burst"]])
def test_a_plugin_that_the_command_line_names_and_cannot_have_is_an_error(tmp_path: Path, verb: list[str]) -> None:
    (tmp_path / "app.py").write_text(APP.format(""))
    done = regiment(tmp_path, "--plugin", "not_here", *verb)
    assert done.returncode == 6
    assert "the plugin not_here (--plugin or REGIMENT_PLUGINS) is broken: ModuleNotFoundError" in done.stderr
    listed = regiment(tmp_path, "--plugin", "not_here", "plugins")
    assert listed.returncode == 0 and "not_here" in listed.stdout


COMMANDS = """
import click
from regiment.hooks import Offer, hookimpl

@click.command()
def command():
    print("a stranger's")

@hookimpl
def regiment_commands():
    return {{"{}": Offer("greedy:command")}}
"""


@pytest.mark.parametrize(
    ("verb", "home"), [("run", "runner"), ("push", "console"), ("plugins", "cli"), ("plugins new", "testing")]
)
def test_a_command_with_the_name_of_a_verb_that_is_there_is_refused_and_the_verb_stays(
    tmp_path: Path, verb: str, home: str
) -> None:
    (tmp_path / "greedy.py").write_text(COMMANDS.format(verb))
    listed = regiment(tmp_path, "--plugin", "greedy", "plugins")
    words = f"command '{verb}' is offered by both regiment-{home} "
    assert listed.returncode == 0 and "refused" in listed.stdout and words in listed.stderr
    (tmp_path / "app.py").write_text(APP.format(""))
    ran = regiment(tmp_path, "--plugin", "greedy", "run", "app", "--burst")
    assert (ran.returncode, words in ran.stderr) == (6, True), "it was named, and cannot be used"
    assert "stranger" not in listed.stdout + ran.stdout


@pytest.mark.parametrize(
    "hook", ["regiment_worker_ended", "regiment_services", "regiment_connectors", "regiment_killers"]
)
def test_a_live_object_with_hooks_for_other_processes_is_refused_by_check(tmp_path: Path, hook: str) -> None:
    source = f"    @hookimpl\n    def {hook}(self): return {{}}\n"
    (tmp_path / "app.py").write_text(f"from regiment.hooks import hookimpl\nclass P:\n{source}\n" + APP.format("P()"))
    done = regiment(tmp_path, "check", "app")
    assert done.returncode == 5
    assert (
        f"plugins=: the object P has {hook}, which is asked in a process that never imports this application"
        in done.stderr
    )


def test_options_of_an_extension_that_are_no_data_are_refused(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP.format("Use('part:Part', ttl={1})"))
    (tmp_path / "part.py").write_text("class Part:\n    def __init__(self, ttl=1): ...\n")
    done = regiment(tmp_path, "check", "app")
    assert done.returncode == 5 and "has options that are no plain data" in done.stderr


# In a tree, in the foreground


TREE = """
from regiment import Queue, Use
first = Queue("first", plugins=[Use("ext:Ext", mark="red")])
second = Queue("second", plugins=[Use("ext:Ext", mark="blue")])
third = Queue("third")

@first.task(name="work")
def work_first(): second.options(name="work").push()
@second.task(name="work")
def work_second(): third.options(name="work").push()
@third.task(name="work")
def work_third(): ...
"""
EXT = """
import json, os, sys
from regiment.hooks import hookimpl

def note(*words):
    with open("seen.txt", "a") as file:
        file.write(json.dumps(words) + "\\n")

class Ext:
    def __init__(self, mark: str):
        self.mark = mark
    @hookimpl
    def regiment_push(self, push): note(self.mark, "push", push.queue)
    @hookimpl
    def regiment_task_started(self, task): note(self.mark, "started", task.queue)
    @hookimpl
    def regiment_worker_ended(self, end): note(self.mark, "ended", end["queue"], "tree" in sys.modules)
"""


@pytest.mark.parametrize("solo", [False, True])
def test_in_a_tree_each_queue_has_its_own_settings_and_the_keeper_builds_them_without_the_application(
    tmp_path: Path, solo: bool
) -> None:
    (tmp_path / "tree.py").write_text(TREE)
    (tmp_path / "ext.py").write_text(EXT)
    assert regiment(tmp_path, "push", "tree:work_first").returncode == 0
    for target in ("first", "second", "third") if solo else ("",):
        line = [f"tree:{target}", "--solo"] if solo else ["tree:first", "tree:second", "tree:third"]
        for name in [line] if solo else [[one] for one in line]:
            done = regiment(tmp_path, "run", *name, "--burst")
            assert done.returncode == 0, done.stderr
    seen = [json.loads(line) for line in (tmp_path / "seen.txt").read_text().splitlines()]
    assert [words for words in seen if words[1] != "ended"] == [
        ["red", "push", "first"],
        ["red", "started", "first"],
        ["blue", "push", "second"],
        ["blue", "started", "second"],
    ]
    assert sorted(words for words in seen if words[1] == "ended") == [
        ["blue", "ended", "second", False],
        ["red", "ended", "first", False],
    ]


def test_one_found_by_entry_point_that_is_broken_is_one_warning_at_run(tmp_path: Path) -> None:
    from journeys.test_plugin_failures import install

    install(tmp_path / "site", "no-luck", "raise RuntimeError('no such luck')\n")
    (tmp_path / "app.py").write_text(APP.format(""))
    environment = {"PYTHONPATH": str(tmp_path / "site"), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-m", "regiment", "run", "app", "--burst"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == 0
    assert done.stderr.count("plugin.unusable") == 1 and "no such luck" in done.stderr


def test_what_prepares_an_application_runs_before_it_and_its_failure_is_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "ready.py").write_text(
        "import builtins, os\nfrom regiment.hooks import hookimpl\n@hookimpl\ndef regiment_loading(target):\n"
        "    builtins.is_ready = target\n    assert not os.environ.get('FAIL'), 'no settings'\n"
    )
    (tmp_path / "app.py").write_text("assert is_ready == 'app'\n" + APP.format(""))
    for verb in (["check", "app"], ["push", "app:work"], ["run", "app", "--burst"]):
        assert regiment(tmp_path, "--plugin", "ready", *verb).returncode == 0
    environment = {"FAIL": "1", "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-m", "regiment", "--plugin", "ready", "run", "app", "--burst"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == 6
    assert 'error: the plugin ready could not get ready for "app": AssertionError: no settings' in done.stderr


class Later:
    """An extension that stores pushes when it is told to."""

    def __init__(self) -> None:
        self.held: list[Any] = []

    @hookimpl
    def regiment_push(self, push: Any) -> None:
        broker = push.broker

        def put(queue: str, tasks: Any, **how: Any) -> tuple[int, ...]:
            payloads = [broker.codec.encode(task) for task in tasks]
            self.held.append(lambda: broker.push(queue, tasks, payloads=payloads, **how))
            return ()

        push.put = put


def test_a_plugin_may_store_a_push_later_with_the_arguments_that_it_had_then() -> None:
    later = Later()
    task = (face := Queue("later", plugins=[later])).task(sized.function)
    with capture(face) as queue:
        things = [1]
        told = task.options(priority="HIGH", delay=5, id="mine").push(things=things)
        task.push_many([{"things": [2]}, {"things": [3]}])
        things.append(2)
        assert not queue.pushed and told.id == "mine" and not told.existed
        for send in later.held:
            send()
        assert [one.kwargs["things"] for one in queue.pushed] == [[1], [2], [3]]
        assert (queue.pushed[0].delay, queue.pushed[0].id) == (5, "mine")
        assert queue.drain() == 3


held_back = Later()
parents = Queue("parents", plugins=[held_back])


@parents.task
def sized(things: list[int]) -> int:
    return len(things)


@parents.task
def pushes_in_its_commit() -> None:
    current().commit.push(sized, things=[])


def test_a_push_that_is_part_of_a_settlement_is_not_taken_away_from_it() -> None:
    with capture(parents) as captured:
        pushes_in_its_commit.push()
        held_back.held.pop()()
        assert captured.drain() == 2 and not held_back.held
        captured.assert_none_dead()
