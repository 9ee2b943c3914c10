"""The benchmark, run as a user runs it, with small sizes: regiment, a bare loop and one peer, to the written report."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from harness import mongod, servers

ROOT = Path(__file__).resolve().parents[2]
PEER = "huey"


def bench(results: Path, *words: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "benchmark", *words, "--results", str(results), "--name", "run"]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False, timeout=240)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one run; the measured phases on SQLite, because that needs no server."""
    folder = tmp_path_factory.mktemp("benchmark")
    done = bench(
        folder,
        "--systems",
        "regiment",
        "limit",
        PEER,
        "--variants",
        "sqlite",
        "sqlite 1",
        "--phases",
        "push",
        "consume",
        "memory",
        "latency",
        "kill",
        "--rounds",
        "1",
        "--seconds",
        "0.2",
        "--patience",
        "4",
        "--anyhow",
        "--wait",
        "0",
    )
    assert done.returncode == 0, done.stderr
    if f"left out: {PEER}" in done.stdout:
        if os.environ.get("CI") == "true":
            pytest.fail(done.stdout)
        pytest.skip(f"SKIPPED WITHOUT PROOF: no environment for {PEER}: {done.stdout[:400]}")
    return folder


@pytest.fixture(scope="module")
def figures(results: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """By system and phase."""
    records = [json.loads(line) for line in (results / "run.jsonl").read_text().splitlines()]
    assert not [record for record in records if record["phase"] == "failed"]
    return {
        (r["system"], r["phase"]): r["figures"] for r in records if r["phase"] not in ("machine", "end", "versions")
    }


@pytest.mark.parametrize("system", ["regiment", "limit", PEER])
def test_each_system_runs_every_task_once_and_has_a_cost(
    figures: dict[tuple[str, str], dict[str, Any]], system: str
) -> None:
    consumed = figures[system, "consume"]
    assert consumed["twice"] == 0
    assert consumed["worker_us"] > 0
    assert (
        consumed["counted"] >= consumed["tasks"] // 4
    )  # counting begins with the half at the latest, looked for each 5 ms
    assert figures[system, "push"]["client_us"] > 0
    assert figures[system, "memory"]["pss_mib"] > 1
    assert figures[system, "latency"]["p50_ms"] > 0


def test_the_kill_row_tells_a_queue_that_loses_a_task_from_one_that_does_not(
    figures: dict[tuple[str, str], dict[str, Any]],
) -> None:
    ours, theirs = figures["regiment", "kill"], figures[PEER, "kill"]
    assert ours["interrupted"] == 1 and theirs["interrupted"] >= 1
    assert ours["lost"] == 0 and ours["twice"] == 1 and ours["again_s"] > 0
    assert theirs["lost"] == theirs["interrupted"]  # it pops its tasks
    assert ours["late_s"] < 5 and theirs["late_s"] is None


def test_the_report_names_versions_ratios_and_promises(results: Path) -> None:
    page = (results / "run.md").read_text()
    summary = json.loads((results / "run.json").read_text())
    assert set(summary["versions"]) == {"regiment", "limit", PEER}
    row = next(line for line in page.splitlines() if line.startswith("| regiment (sqlite 1)"))
    assert row.split("|")[3].strip() == "1.00"  # regiment to itself
    assert "popped: lost" in page
    assert "never (" in page


def test_a_finished_run_measures_nothing_again(results: Path) -> None:
    before = (results / "run.jsonl").read_text()
    done = bench(
        results,
        "--systems",
        "regiment",
        "--variants",
        "sqlite 1",
        "--phases",
        "push",
        "--rounds",
        "1",
        "--anyhow",
        "--wait",
        "0",
    )
    assert done.returncode == 0, done.stderr
    added = (results / "run.jsonl").read_text().removeprefix(before).splitlines()
    assert {json.loads(line)["phase"] for line in added} <= {"machine", "versions"}


def test_a_quick_run_takes_the_cpu_of_all_variants_in_turns(tmp_path: Path) -> None:
    done = bench(
        tmp_path,
        "--quick",
        "--variants",
        "sqlite 1",
        "--phases",
        "push",
        "bulk",
        "consume",
        "--rounds",
        "1",
        "--seconds",
        "0.2",
        "--anyhow",
        "--wait",
        "0",
    )
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in (tmp_path / "run.jsonl").read_text().splitlines()]
    told = [r for r in records if r["phase"] in ("push", "bulk", "consume")]
    for system in ("regiment", "limit"):
        for phase in ("push", "bulk", "consume"):
            turns = [r["figures"] for r in told if r["system"] == system and r["phase"] == phase]
            assert len(turns) >= 2
            assert all(turn["worker_us" if phase == "consume" else "client_us"] > 0 for turn in turns)
    assert not any(r["figures"].get("twice") for r in told)
    order = [r["system"] for r in told if r["phase"] == "push"]
    assert order != sorted(order), "nobody has all turns before the other"


def test_a_system_that_is_not_there_is_an_error_with_the_names_of_those_that_are(
    tmp_path: Path,
) -> None:
    done = bench(tmp_path, "--systems", "kafka")
    assert done.returncode == 2
    assert "no system 'kafka'; there are regiment, limit, dramatiq" in done.stderr


def record(system: str, variant: str, phase: str, figures: dict[str, Any], round: int = 0) -> str:
    return json.dumps(
        {
            "at": "2026-01-01T00:00:00+0000",
            "system": system,
            "variant": variant,
            "store": "redis",
            "group": phase,
            "round": round,
            "phase": phase,
            "figures": figures,
        }
    )


def test_the_report_says_where_regiment_is_behind_and_what_never_happened(tmp_path: Path) -> None:
    lines = [
        *(record("regiment", "redis 1", "latency", {"p50_ms": ms}, n) for n, ms in enumerate((2.0, 9.0, 3.0))),
        record("regiment", "redis 1", "kill", {"lost": 0, "again_s": 0.05, "waited_s": 75.0}),
        record("saq", "defaults", "latency", {"p50_ms": 1.5}),
        record("saq", "defaults", "kill", {"lost": 1, "again_s": None, "waited_s": 75.0}),
    ]
    (tmp_path / "run.jsonl").write_text("\n".join(lines) + "\n")
    done = bench(tmp_path, "report")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "run.md").read_text()
    assert "- latency, p50 ms: regiment 3, rank 2 of 2, behind saq (defaults) 1.5" in page
    assert "| regiment (redis 1) | 3 (2–9) | 1.00 |" in page  # the median with its range
    assert "| saq (defaults) | 1.5 | 0.50 |" in page  # its ratio to regiment
    chart = ElementTree.parse(tmp_path / "run-kill.svg").getroot()
    texts = ["".join(one.itertext()) for one in chart.iter("{http://www.w3.org/2000/svg}text")]
    assert "never in 75 s, 1 lost" in texts and "0.05" in texts


@pytest.mark.long
def test_growth_has_a_row_for_each_size_and_what_a_thing_weighs_in_the_store(tmp_path: Path) -> None:
    sizes = ["--growth-tasks", "2000", "--growth-consumers", "20", "--growth-queues", "10", "--growth-pushes", "1000"]
    done = bench(
        tmp_path,
        *("--systems", "regiment", "--variants", "sqlite, growth", "--phases", "growth", *sizes),
        *("--rounds", "1", "--anyhow", "--wait", "0", "--beside", str(ROOT)),
    )
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in (tmp_path / "run.jsonl").read_text().splitlines()]
    assert not [record["error"] for record in records if record["phase"] == "failed"]
    figures = {r["phase"]: r["figures"] for r in records if r["phase"].startswith("growth ")}
    assert [name.removeprefix("growth ") for name in figures] == [
        *("waiting", "delayed", "dead", "consumers", "queues", "weights")
    ]
    waiting = figures["growth waiting"]
    assert {int(name.split("|")[1]) for name in waiting} == {1, 1000, 2000}
    assert waiting["push|2000|client_us"] > 0 and waiting["push|2000|client_us before"] > 0
    assert 70 < waiting["a task|2000|bytes"] < 1000  # with its 70 bytes
    page = (tmp_path / "run.md").read_text()
    assert "### sqlite: consumers" in page and "| renewal, a consumer, before |" in page
    assert "| an id | 1,000 |" in page


def test_an_earliest_delayed_push_wakes_consumers_that_wait_at_a_redis_and_its_table_says_how_many() -> None:
    from benchmark.growth.sizes import Sizes
    from benchmark.measure.growth import measured

    servers.program()
    found = measured(("redis", ""), "consumers", Sizes(consumers=12, seconds=20), ROOT)
    assert found["earliest delayed push|1|looks"] == 1
    assert 1 <= found["earliest delayed push|12|looks"] <= 12
    assert found["counts()|12|server_us"] > 0


def test_a_system_whose_server_is_not_installed_stands_in_the_tables_as_not_run_here(tmp_path: Path) -> None:
    absent = {"system": "procrastinate", "variant": "defaults", "store": "postgres", "round": 0, "phase": "failed"}
    lines = [
        record("regiment", "redis 1", "consume", {"worker_us": 20.0}),
        json.dumps(
            {"at": "2026-01-01T00:00:00+0000", "group": "work", "error": "not run here: no PostgreSQL", **absent}
        ),
    ]
    (tmp_path / "run.jsonl").write_text("\n".join(lines) + "\n")
    done = bench(tmp_path, "report")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "run.md").read_text()
    assert "| procrastinate (defaults) | not run here |" in page
    assert "- procrastinate (defaults), work: not run here: no PostgreSQL" in page


def test_figures_of_a_further_release_of_redis_are_compared_with_those_of_the_same_release(tmp_path: Path) -> None:
    lines = [
        record("regiment", "redis 1", "consume", {"worker_us": 20.0}),
        record("regiment", "redis 1, Redis 6.2", "consume", {"worker_us": 40.0}),
        record("rq", "defaults", "consume", {"worker_us": 60.0}),
        record("rq", "defaults, Redis 6.2", "consume", {"worker_us": 80.0}),
    ]
    (tmp_path / "run.jsonl").write_text("\n".join(lines) + "\n")
    done = bench(tmp_path, "report")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "run.md").read_text()
    assert "| rq (defaults) | 60 | 3.00 |" in page
    assert "| rq (defaults, Redis 6.2) | 80 | 2.00 |" in page


def test_a_release_of_redis_that_is_not_here_is_an_error_that_names_those_that_are(tmp_path: Path) -> None:
    done = bench(tmp_path, "--redis", "5.0", "--systems", "regiment")
    assert done.returncode == 2
    assert "no redis-server 5.0" in done.stderr and "here are:" in done.stderr


def test_claims_from_a_full_store_of_mongodb_are_weighed_beside_those_from_an_empty_one() -> None:
    sizes = ["--waiting", "3000", "--delayed", "1000", "--tasks", "100", "--rounds", "1"]
    line = [sys.executable, "-m", "benchmark.stores.mongo_connector", "--million", *sizes]
    mongod.binary()
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    first, *ratios = done.stdout.splitlines()
    assert first == "waiting 3,000, delayed 1,000"
    assert [ratio[:12].strip() for ratio in ratios] == ["one by one", "batch 100"]
    assert all("almost empty" in ratio and "ratio" in ratio for ratio in ratios)
