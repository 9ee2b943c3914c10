"""All problems of a worker's configuration, each with the exit code that it asks for."""

from __future__ import annotations

from typing import Any

import pytest

from regiment import ConfigError, PluginError, Queue, exits
from regiment.registry import Registry
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
