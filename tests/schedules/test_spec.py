"""What a schedule may say, and how it is said what is wrong with it."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from regiment import ConfigError, Queue, Worker, WorkerConfig
from regiment_cli.targets import Running
from regiment_schedules import Schedules, schedule
from regiment_schedules.declared import declared, notes
from regiment_schedules.plan import schedules
from regiment_testing import capture


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("0 0 31 2 *", "no such month has such a day"),
        ("0 12 * * ?", 'Did you mean "0 12 * * *"'),
        ("0 0 12 * * ? 2026", "7 fields"),
        ("* * *", "3 fields"),
        ("0 9 * * mo-fr", 'Did you mean "0 9 * * mon-fri"'),
        ("0 9 * * monday", 'Did you mean "0 9 * * mon"'),
        ("0 9 1 january *", 'Did you mean "0 9 1 jan *"'),
        ("0 22-2 * * *", 'Did you mean "0 22-23,0-2 * * *"'),
        ("61 * * * *", "minute"),
        ("0 25 * * *", "hour"),
        ("@dayly", "@daily"),
        ("", "five fields"),
        (5, "five fields"),
    ],
)
def test_an_expression_that_cannot_be_is_refused_with_the_nearest_right_one(expression: object, said: str) -> None:
    with pytest.raises(ConfigError, match=r".") as caught:
        schedule(expression)  # type: ignore[arg-type]
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"tz": "Europe/Berlim"}, 'Did you mean "Europe/Berlin"'),
        ({"tz": "../../etc/passwd"}, "no zone"),
        ({"tz": 5}, "no zone"),
        ({"catch_up": "lst"}, 'Did you mean "last"'),
        ({"overlap": "queue"}, "a queue of its own with one worker"),
        ({"overlap": "never"}, "allow or skip"),
        ({"priority": "high"}, "HIGH"),
        ({"jitter": -1}, "jitter"),
        ({"within": 0}, "within"),
        ({"start": datetime(2026, 1, 1)}, "aware datetime"),
        ({"except_": ["25.12.2026"]}, "2026-12-25"),
        ({"except_": "2026-12-25x"}, "2026-12-25"),
        ({"name": "with blank"}, "without blanks"),
        ({"name": "a@b"}, "without blanks"),
        ({"kwargs": [1]}, "mapping"),
        ({"kwargs": {1: 2}}, "mapping"),
        ({"args": "abc"}, "args is 'abc'"),
        ({"every": 5}, "needs one of"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_in_words(how: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=r".") as caught:
        schedule("0 9 * * *", **how)  # type: ignore[arg-type]
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("every", "said"), [(0.5, "at least 1"), (1.0001, "milliseconds"), (timedelta(days=7), "start="), ("5", "seconds")]
)
def test_a_period_that_cannot_be_is_refused_in_words(every: object, said: str) -> None:
    with pytest.raises(ConfigError, match=r".") as caught:
        schedule(every=every)  # type: ignore[arg-type]
    assert said in str(caught.value)


def work(x: int = 0) -> None: ...


class Crawl(Worker):
    config = WorkerConfig(name="crawl", connector="memory", plugins=[Schedules()])

    def work(self, task: object) -> None: ...


def test_arguments_that_the_task_does_not_take_are_refused_where_they_are_declared() -> None:
    queue = Queue("q", connector="memory")
    task = queue.task(work)
    with pytest.raises(ConfigError, match='no argument "y"'):
        schedule("0 9 * * *", kwargs={"y": 1})(task)
    with pytest.raises(ConfigError, match='no argument "y"'):
        queue.task(name="other", schedules=[schedule("0 9 * * *", kwargs={"y": 1})])(work)
    assert "other" not in queue.tasks and not list(declared(queue))


def test_two_schedules_of_one_name_are_refused_and_unnamed_ones_are_told_apart() -> None:
    queue = Queue("q", connector="memory")
    task = queue.task(schedules=[schedule("0 9 * * *"), schedule("0 10 * * *")])(work)
    assert [name for name, _, _ in declared(queue)] == [f"{__name__}:work", f"{__name__}:work#2"]
    schedule("0 9 * * *", name="a")(task)
    with pytest.raises(ConfigError, match="both have a schedule 'a'"):
        schedule("0 9 * * *", name="a")(task)
    with pytest.raises(ConfigError, match="both have a schedule 'a'"):
        queue.task(name="other", schedules=[schedule("0 9 * * *", name="a")])(work)
    assert len(list(declared(queue))) == 3
    queue.task(schedules=[schedule("0 8 * * *", name="a")])(work)  # its module is loaded again
    assert [name for name, _, _ in declared(queue)] == ["a"]


def test_what_is_no_schedule_and_no_task_is_refused() -> None:
    queue = Queue("q", connector="memory")
    with pytest.raises(ConfigError, match="expected a list of schedule"):
        queue.task(schedules=["0 9 * * *"])(work)
    with pytest.raises(ConfigError, match="functions of a Queue"):
        schedule("0 9 * * *")(Crawl)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="worker classes have no schedules"):
        schedules(Crawl)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="queue of a worker class"):
        notes(Running(Crawl()))
    with pytest.raises(ConfigError, match="above"):
        schedule("0 9 * * *")(work)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r'no setting "schedule".*"schedules"'):
        queue.task(schedule=[])(work)


def test_a_setting_is_no_option_of_a_push() -> None:
    queue = Queue("q", connector="memory")
    task = queue.task(schedules=[schedule("0 9 * * *")])(work)
    with capture() as captured:
        task.push()
        assert captured.pushed[0].name == "work"
    with pytest.raises(Exception, match='no push option "schedules"'):
        task.options(schedules=[])


def test_a_store_that_keeps_no_effects_and_a_serializer_that_signs_are_refused_in_words(tmp_path: object) -> None:
    queue = Queue("q", connector="memory", serializer=signed())
    queue.task(schedules=[schedule("0 9 * * *")])(work)
    with pytest.raises(ConfigError, match="signs each message"):
        notes(queue)


def signed() -> object:
    from regiment import Use

    return Use("signed", keys=["0123456789abcdef0123456789abcdef"])


def test_a_queue_without_schedules_notes_nothing_and_one_that_names_the_plugin_does() -> None:
    assert notes(Queue("q", connector="memory")) is None
    assert notes(Queue("q", connector="memory", plugins=[Schedules()])) == {"schedules": {}}


def test_adding_to_a_queue_that_fires_nothing_is_refused() -> None:
    queue = Queue("q", connector="memory")
    task = queue.task(work)
    with capture(), pytest.raises(ConfigError, match=r"plugins=\[Schedules\(\)\]"):
        schedules(queue).add("a", task, "0 9 * * *")
