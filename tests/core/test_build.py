"""From a configuration to what pushes."""

from __future__ import annotations

import pytest

from regiment import ConfigError, PluginError, Use, WorkerConfig
from regiment.build import connector_use, make_broker, make_connector


def test_the_connector_is_that_of_the_configuration_else_of_the_environment_else_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REGIMENT_CONNECTOR", "redis://db1/2")
    said = connector_use(WorkerConfig("q", connector="memory://here"))
    assert said == (Use("memory:", url="memory://here"), "WorkerConfig(connector=…)")
    assert connector_use(WorkerConfig("q")) == (
        Use("redis:", url="redis://db1/2"),
        "the environment (REGIMENT_CONNECTOR)",
    )
    monkeypatch.delenv("REGIMENT_CONNECTOR")
    assert connector_use(WorkerConfig("q"))[1] == "the default (REGIMENT_CONNECTOR is not set)"


def test_the_durability_of_pushes_is_an_option_of_the_connector() -> None:
    use, _ = connector_use(WorkerConfig("q", connector="memory://here", push_durability="disk"))
    assert use.options["push_durability"] == "disk"


def test_a_connector_is_made_unopened_and_wrong_options_are_told_at_once() -> None:
    made = make_connector(WorkerConfig("q", connector="memory://build"))()
    assert "build" in made.describe()
    with pytest.raises(ConfigError, match=r'connector .memory. has no option "sise"'):
        make_connector(WorkerConfig("q", connector=Use("memory", sise=1)))


def test_a_broker_says_whose_configuration_is_wrong_and_all_that_is() -> None:
    with pytest.raises(ConfigError) as caught:
        make_broker(WorkerConfig("q", connector="memory:", lease=0, recheck=0), "shop.Mail")
    assert [problem.split(" is ")[0] for problem in caught.value.problems] == ["shop.Mail: lease", "shop.Mail: recheck"]


def test_a_part_that_is_not_here_is_named_with_what_would_help() -> None:
    with pytest.raises(PluginError, match=r'no connector for "kafka://" \(shop\.Mail\); installed: .*sqlite://'):
        make_broker(WorkerConfig("q", connector="kafka://h"), "shop.Mail")
    with pytest.raises(PluginError, match=r'no serializer named "jsom"; .*Did you mean "json"\?'):
        make_broker(WorkerConfig("q", connector="memory:", serializer="jsom"))
