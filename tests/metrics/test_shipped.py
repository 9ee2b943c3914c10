"""The board and the rules under examples/deploy: they load, and each metric that they name is served, with the labels that they name."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.servers import free_port
from harness.tree import Tree
from harness.wait import eventually
from metrics.scraping import scraped

DEPLOY = Path(__file__).parents[2] / "examples/deploy"
METRIC = re.compile(r"(regiment_\w+)(?:\{([^}]*)\})?")
LABEL = re.compile(r'(\w+)\s*[=!]~?\s*"([^"]*)"')
GROUPING = re.compile(r"\b(?:by|on)\s*\(([^)]*)\)")
APP = """
from regiment import Queue
q = Queue("q", connector="sqlite:///{folder}/q.db")
@q.task
def work():
    pass
for _ in range(1 if __name__ == "__main__" else 0):
    work.push()
"""


def rules() -> list[dict[str, Any]]:
    return list(yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"][0]["rules"])


def board() -> dict[str, Any]:
    return dict(json.loads((DEPLOY / "grafana.json").read_text()))


def questions() -> list[str]:
    """All that is asked of Prometheus."""
    drawn = [target["expr"] for panel in board()["panels"] for target in panel["targets"]]
    return [rule["expr"] for rule in rules()] + drawn


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, list[dict[str, str]]]]:
    """Name of a metric -> the labels of each of its series, of a real tree."""
    folder, port = tmp_path_factory.mktemp("served"), free_port()
    folder.chmod(0o700)
    (folder / "app.py").write_text(APP.format(folder=folder))
    subprocess.run([sys.executable, "app.py"], cwd=folder, check=True, timeout=60)
    tree = Tree(folder, folder, ["app:q"], folder / "log", metrics=f"127.0.0.1:{port}")
    try:
        found = eventually(
            lambda: (
                got
                if (got := scraped(port)) and {"regiment_queue_tasks", "regiment_tasks_total"} <= {n for n, _ in got}
                else None
            ),
            60,
            tree.text,
        )
    finally:
        tree.stop()
    series: dict[str, list[dict[str, str]]] = {}
    for name, labels in found:
        series.setdefault(name, []).append(dict(labels))
    yield series


def test_every_metric_and_label_that_is_asked_for_is_served(served: dict[str, list[dict[str, str]]]) -> None:
    for question in questions():
        metrics = METRIC.findall(question)
        assert metrics, question
        for name, matchers in metrics:
            assert name in served, f"{name} of {question}"
            for label, wanted in LABEL.findall(matchers):
                values = {series.get(label) for series in served[name]}
                assert None not in values, f"{name} has no label {label}: {question}"
                named = [] if wanted.startswith("$") else wanted.split("|")
                assert set(named) <= values, f"{name}{{{label}}} has {sorted(map(str, values))}: {question}"
        for labels in GROUPING.findall(question):
            for label in labels.replace(" ", "").split(","):
                assert all(label in series for name, _ in metrics for series in served[name]), f"{label}: {question}"


def test_the_board_can_be_imported_and_its_panels_do_not_overlap() -> None:
    panels = board()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) == len({panel["title"] for panel in panels})
    taken: dict[tuple[int, int], str] = {}
    for panel in panels:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        for x in range(at["x"], at["x"] + at["w"]):
            for y in range(at["y"], at["y"] + at["h"]):
                assert taken.setdefault((x, y), panel["title"]) == panel["title"]
        assert all(target["datasource"]["uid"] == "${datasource}" for target in panel["targets"])
    variables = {variable["name"] for variable in board()["templating"]["list"]}
    assert {name for question in questions() for name in re.findall(r"\$(\w+)", question)} <= {
        *variables,
        "__rate_interval",
    }


def test_there_is_a_rule_for_each_thing_that_the_page_names() -> None:
    alerts = {rule["alert"]: rule for rule in rules()}
    assert {
        "RegimentStoreAway",
        "RegimentNobodyServes",
        "RegimentTasksWait",
        "RegimentTasksDie",
        "RegimentWorkersCrash",
    } <= alerts.keys()
    assert all(rule["annotations"]["summary"] for rule in alerts.values())


def test_prometheus_takes_the_rules_and_the_questions_of_the_board_and_the_alerts_fire(tmp_path: Path) -> None:
    tool = shutil.which("promtool")
    if tool is None:
        pytest.skip("NO promtool HERE: the rules and the board were not given to Prometheus (Debian: prometheus)")
    asked = [re.sub(r"\$__rate_interval", "5m", question).replace("$queue", ".*") for question in questions()]
    recorded = [{"record": f"asked:{number}", "expr": question} for number, question in enumerate(asked)]
    (tmp_path / "asked.yml").write_text(yaml.safe_dump({"groups": [{"name": "asked", "rules": recorded}]}))
    for path in (DEPLOY / "alerts.yml", tmp_path / "asked.yml"):
        done = subprocess.run([tool, "check", "rules", str(path)], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
    (tmp_path / "test.yml").write_text(yaml.safe_dump(_a_bad_day()))
    done = subprocess.run(
        [tool, "test", "rules", str(tmp_path / "test.yml")], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _a_bad_day() -> dict[str, Any]:
    """Two trees of a store: "q" has tasks and no worker, they wait, die and crash; "r" is well, and paused tasks wake nobody."""
    tree = [
        ('regiment_store_up{instance="a"}', "1x60"),
        ('regiment_store_up{instance="b"}', "1x60"),
        ('regiment_queue_tasks{instance="a",queue="q",state="ready"}', "7x60"),
        ('regiment_queue_workers{instance="a",queue="q"}', "0x60"),
        ('regiment_queue_paused{instance="a",queue="q"}', "0x60"),
        ('regiment_queue_oldest_seconds{instance="a",queue="q"}', "400x60"),
        ('regiment_queue_tasks{instance="a",queue="r",state="ready"}', "7x60"),
        ('regiment_queue_workers{instance="a",queue="r"}', "0x60"),
        ('regiment_queue_paused{instance="a",queue="r"}', "1x60"),
        ('regiment_queue_oldest_seconds{instance="a",queue="r"}', "400x60"),
        *((f'regiment_tasks_total{{instance="{one}",queue="q",task="t",outcome="dead"}}', "0+1x60") for one in "ab"),
        *((f'regiment_worker_ends_total{{instance="{one}",queue="q",kind="crash"}}', "0+1x60") for one in "ab"),
    ]
    fires = {
        "RegimentNobodyServes": "q",
        "RegimentTasksWait": "q",
        "RegimentTasksDie": "q",
        "RegimentWorkersCrash": "q",
    }
    series = [
        {"series": name, "values": values.replace("x", "+0x") if "+" not in values else values} for name, values in tree
    ]
    expected = []
    for rule in rules():
        alert = {"eval_time": "40m", "alertname": rule["alert"], "exp_alerts": []}
        if rule["alert"] in fires:
            alert["exp_alerts"] = [{"exp_labels": {"queue": fires[rule["alert"]]}, "exp_annotations": _any(rule)}]
        expected.append(alert)
    return {
        "rule_files": [str(DEPLOY / "alerts.yml")],
        "tests": [{"interval": "1m", "input_series": series, "alert_rule_test": expected}],
    }


def _any(rule: dict[str, Any]) -> dict[str, str]:
    """The annotation of a rule on that day."""
    values = {
        "RegimentNobodyServes": "7",
        "RegimentTasksWait": "6m 40s",
        "RegimentTasksDie": "30",
        "RegimentWorkersCrash": "20",
    }
    text = rule["annotations"]["summary"].replace("{{ $labels.queue }}", "q")
    return {"summary": re.sub(r"\{\{ \$value.*?\}\}", values[rule["alert"]], text)}
