"""All problems of a worker's configuration, each with the exit code that it asks for."""

from __future__ import annotations

from typing import Any

import pytest

from regiment import ConfigError, PluginError, Queue, exits
from regiment.registry import Registry
from regiment.worker import HOOKS
from regiment_runner.parts import assemble, check


def queue(**settings: Any) -> Queue:
    return Queue("parts", connector="memory://parts", **settings)


def test_a_missing_part_comes_before_what_else_is_wrong_and_is_an_error_of_its_own() -> None:
    broken = queue(lease=-1, compressor="lz77")
    assert [problem.code for problem in check(broken)] == [exits.CONFIG, exits.PLUGIN]
    with pytest.raises(PluginError, match=r'^no compressor named "lz77"'):
        assemble(broken)


def test_problems_of_values_are_raised_together() -> None:
    with pytest.raises(ConfigError) as caught:
        assemble(queue(lease=-1, recheck=-1))
    assert [problem.split(" is ")[0] for problem in caught.value.problems] == ["lease", "recheck"]


def test_each_part_is_looked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    resolve = Registry.resolve

    def counted(self: Registry, kind: str, use: Any, where: str = "") -> Any:
        asked.append(use.name)
        return resolve(self, kind, use, where)

    monkeypatch.setattr(Registry, "resolve", counted)
    with pytest.raises(PluginError):
        assemble(queue(compressor="lz77"))
    assert sorted(asked) == sorted(set(asked))


ARGUMENTS = {
    "initialize": "",
    "finalize": "",
    "pre_work": "task",
    "post_work": "task, success, exception",
    "on_success": "task, returned_value",
    "on_failure": "task, exception",
    "on_timeout": "task",
    "on_retry": "task",
    "on_max_retries": "task",
    "on_requeue": "task",
    "on_starvation": "time_with_no_tasks",
    "on_stop": "task",
    "on_cancel": "task",
    "on_dead": "task, reason",
}


@pytest.mark.parametrize(("name", "wanted"), ARGUMENTS.items())
def test_a_hook_that_cannot_take_its_arguments_is_a_problem_and_one_that_can_is_none(name: str, wanted: str) -> None:
    assert set(ARGUMENTS) == set(HOOKS)
    names = [one for one in wanted.split(", ") if one]
    fewer, more = names[:-1] if names else ["other"], [*names, "other"]
    for good in (
        wanted,
        "*all",
        "*, other=1, **more" if not names else f"{wanted}, other=1",
        ", ".join("abc"[: len(names)]),
    ):
        assert check(hooked(name, good)) == [], good
    for bad in (", ".join(fewer), ", ".join(more), f"{wanted}{', ' if names else ''}*, other"):
        (problem,) = check(hooked(name, bad))
        assert f"the hook {name} takes ({bad}), and is called as {name}({wanted})" in problem.text
        assert problem.code == exits.CONFIG


def hooked(name: str, parameters: str) -> Queue:
    """A queue with one hook that takes these parameters."""
    made: dict[str, Any] = {}
    exec(f"def hook({parameters}): ...", made)
    one = queue()
    one.on(name)(made["hook"])
    return one
