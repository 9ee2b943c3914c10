"""Every example runs as it stands, in an empty folder, and shows what its docstring promises."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = sorted(path.name for path in EXAMPLES.glob("*.py"))


def run(name: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("REGIMENT")}
    return subprocess.run(
        [sys.executable, str(EXAMPLES / name)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("name", NAMES)
def test_an_example_says_how_to_run_it_and_the_list_names_it(name: str) -> None:
    docstring = ast.get_docstring(ast.parse((EXAMPLES / name).read_text())) or ""
    assert f"python examples/{name}" in docstring
    assert f"]({name})" in (EXAMPLES / "README.md").read_text()
    assert f"def test_{name.removesuffix('.py').removeprefix('test_')}" in Path(__file__).read_text()


def test_hello_greets_everyone(tmp_path: Path) -> None:
    told = run("hello.py", tmp_path)
    assert told.returncode == 0, told.stderr
    found = re.findall(r"^hello (\w+), from process \d+$", told.stdout, re.M)
    assert sorted(found) == ["Ada", "Edsger", "Grace"] and found[-1] == "Edsger"
    assert (tmp_path / ".regiment" / "queue.db").exists()


def test_web_orders_enqueues_in_the_transaction_of_its_order(tmp_path: Path) -> None:
    told = run("web_orders.py", tmp_path)
    assert told.returncode == 0, told.stderr
    lines = told.stdout.splitlines()
    assert lines == ["lamp: 201", "unicorn: 409", "confirmed: lamp", "orders: [('lamp', True)]"]


def test_nightly_fails_is_retried_and_shows_its_sum_and_its_picture(tmp_path: Path) -> None:
    told = run("nightly.py", tmp_path)
    assert told.returncode == 0, told.stderr
    assert "20 of 20 chunks" in told.stdout
    assert "failed: prices: FileNotFoundError: the prices of today are not there yet" in told.stdout
    assert f"the sum: {sum(range(5000)) * 0.02:,.2f}" in told.stdout
    assert "flowchart LR" in told.stdout and ":::success" in told.stdout


def test_table_gives_the_same_means_by_regiment_and_by_dask(tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    told = run("table.py", tmp_path)
    assert told.returncode == 0, told.stderr
    assert re.search(r"^\d+ of 20 chunks$", told.stdout, re.M), told.stdout
    found = dict(re.findall(r"^(regiment|Dask): (\{.+\})$", told.stdout, re.M))
    assert found["regiment"] == found["Dask"] and "'north': 99.8526" in found["Dask"]


def test_reminders_runs_each_tick_once_and_shows_what_is_scheduled(tmp_path: Path) -> None:
    told = run("reminders.py", tmp_path)
    assert told.returncode == 0, told.stderr
    assert "pushed report-acme" in told.stdout and "second: every 1 s, paused" in told.stdout
    assert "report-acme: 0 6 1 * * Asia/Tokyo, next " in told.stdout
    assert re.search(r"^\d+ ticks, 0 of them twice$", told.stdout, re.M), told.stdout
    assert told.stdout.rstrip().endswith("2026-10-26 01:30 UTC"), told.stdout


def test_fair_keeps_its_budgets_and_starves_nobody(tmp_path: Path) -> None:
    told = run("fair.py", tmp_path)
    assert told.returncode == 0, told.stderr
    assert "5 pushes of one digest: 1 new, all of the task 1" in told.stdout and "digests: 1" in told.stdout
    most = re.search(r"at once: (\d) of 4 in the pool, (\d) of 2 in a lane", told.stdout)
    assert most is not None and int(most[1]) <= 4 and int(most[2]) <= 2, told.stdout
    before = re.search(r"served with (\d+) of 100 tasks of the flood before it", told.stdout)
    assert before is not None and int(before[1]) < 20, told.stdout
    assert "the busy tenant: 4 starts of 3 tasks" in told.stdout


def test_crawl_retries_what_may_come_back_and_gives_up_what_will_not(tmp_path: Path) -> None:
    told = run("crawl.py", tmp_path)
    assert told.returncode == 1, told.stderr  # it made dead letters
    lines = told.stdout.splitlines()
    assert "/index: 14 bytes, after 0 retries" in lines
    assert "/busy: 14 bytes, after 1 retries" in lines
    assert "/missing: given up after 1 runs: no such page" in lines
    assert "/gone: given up after 3 runs: HTTP Error 503: Service Unavailable" in lines
    assert lines.count("/slow: took too long") == 3
    command = [sys.executable, "-m", "regiment", "dead", "list", "crawl", "--group"]
    listed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "HTTPError" in listed.stdout and "no such page" in listed.stdout


def test_pipeline_hands_every_sentence_on_under_one_trace_and_questions_first(
    tmp_path: Path,
) -> None:
    told = run("pipeline.py", tmp_path)
    assert told.returncode == 0, told.stderr
    first, *lines = told.stdout.splitlines()
    trace = first.removeprefix("trace ")
    assert len(lines) == 4 and all(line.endswith(f"trace {trace}") for line in lines)
    assert "What if that worker dies?" in lines[0]


def test_orders_leave_one_receipt_and_one_record_each_although_each_failed_once(tmp_path: Path) -> None:
    told = run("orders.py", tmp_path)
    assert told.returncode == 0, told.stderr
    assert sorted(re.findall(r"^receipt for order (\d)$", told.stdout, re.M)) == ["1", "2", "3"]
    assert told.stdout.count("'state': 'paid'") == 3
    assert "ended: done done done" in told.stdout


def test_charge_each_order_once_whenever_its_worker_is_killed(tmp_path: Path) -> None:
    told = run("charge.py", tmp_path)
    assert told.returncode == 0, told.stderr
    assert told.stdout.splitlines() == [
        "gateway: order 1 is charged",
        "order 1: receipt 1, found",
        "gateway: order 2 is charged",
        "gateway: order 2 was charged before",
        "order 2: receipt 2, new",
        "2 payments",
    ]


def test_seats_are_sold_once_each(tmp_path: Path) -> None:
    for _ in range(2):  # also when it is run again
        told = run("seats.py", tmp_path)
        assert told.returncode == 0, told.stderr
        seats = [int(seat) for seat in re.findall(r"seat (\d+)$", told.stdout, re.M)]
        assert sorted(seats) == list(range(1, 13))
        assert told.stdout.count("sold out") == 8


def test_slowest_is_told_of_every_task_without_being_packaged(tmp_path: Path) -> None:
    told = run("slowest.py", tmp_path)
    assert told.returncode == 0, told.stderr
    assert told.stdout.count("[slowest] greet success in") == 3
    assert re.search(r"^\[slowest\] the slowest was greet: [\d.]+ ms$", told.stdout, re.M)


def test_slowest_works_on_the_command_line(tmp_path: Path) -> None:
    regiment = [sys.executable, "-m", "regiment", "--app-dir", str(EXAMPLES)]
    for words in (
        ["push", "hello:greet", "name=Ada"],
        ["--plugin", "slowest", "run", "hello", "--burst"],
    ):
        told = subprocess.run(
            [*regiment, *words],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert told.returncode == 0, told.stderr
    assert "hello Ada" in told.stdout and "[slowest] greet success" in told.stdout


def test_signup_passes_by_itself_and_in_pytest(tmp_path: Path) -> None:
    told = run("test_signup.py", tmp_path)
    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith("ok:")
    assert list(tmp_path.iterdir()) == []  # no store was made
    command = [sys.executable, "-m", "pytest", "-q", str(EXAMPLES / "test_signup.py")]
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert told.returncode == 0 and "1 passed" in told.stdout


def test_web_starts_work_is_polled_and_waits_for_its_result(tmp_path: Path) -> None:
    told = run("web.py", tmp_path)
    assert told.returncode == 0, told.stderr
    lines = dict(line.split(": ", 1) for line in told.stdout.splitlines() if ": " in line)
    assert "'state': 'success'" in lines["waited"] and "'result': 6" in lines["waited"]
    assert "waiting" in lines["polled"] or "running" in lines["polled"]
    assert "'failure'" in lines["failed"] and "TypeError" in lines["failed"]
    assert lines["unknown"] == "{'state': 'unknown'}"


def test_progress_bar_shows_how_far_a_task_is_until_it_has_ended(tmp_path: Path) -> None:
    told = run("progress_bar.py", tmp_path)
    assert told.returncode == 0, told.stderr
    assert re.search(r"^\[#+ +\] +\d+% frame \d+", told.stdout, re.M), told.stdout
    assert "100% 200 frames" in told.stdout


def test_web_fastapi_waits_for_a_result_tells_how_a_task_failed_and_asks_to_try_again(tmp_path: Path) -> None:
    told = run("web_fastapi.py", tmp_path)
    assert told.returncode == 0, told.stderr
    lines = dict(line.split(": ", 1) for line in told.stdout.splitlines())
    assert lines["waited"] == "{'state': 'success', 'result': 6}" and "TypeError" in lines["failed"]
    assert (lines["unknown"], lines["away"]) == ("{'state': 'unknown'}", "503 retry after 2")


def test_web_flask_runs_its_task_in_the_context_of_the_application(tmp_path: Path) -> None:
    told = run("web_flask.py", tmp_path)
    assert told.returncode == 0, told.stderr
    assert told.stdout == "sent: from shop@example.org to ada@example.org\naway: 503 retry after 2\n"


def test_django_shop_passes_its_own_tests_and_a_worker_sends_the_receipt_of_its_order(tmp_path: Path) -> None:
    variables = {k: v for k, v in os.environ.items() if not k.startswith(("REGIMENT", "DJANGO"))}
    variables |= {"SHOP_FOLDER": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}

    def manage(*words: str) -> str:
        command = [sys.executable, "manage.py", *words]
        told = subprocess.run(
            command,
            cwd=EXAMPLES / "django_shop",
            env=variables,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert told.returncode == 0, told.stderr
        return told.stdout + told.stderr

    assert re.search(r"^Ran \d+ tests.*\n\nOK$", manage("test"), re.M)
    manage("migrate", "-v", "0")
    order = """
from django.test import Client
from shop.models import Product
Product.objects.create(name="book", cents=1250, stock=3)
asked = {"product": "book", "pieces": 2, "email": "ada@example.org"}
print([Client().post("/orders/", asked, content_type="application/json").status_code for _ in range(2)])
"""
    assert "[201, 409]" in manage("shell", "-v", "0", "-c", order)
    manage("regiment", "run", "--burst")
    look = "from shop.models import Order; print(*Order.objects.values_list('receipt'))"
    assert "('ada@example.org',)" in manage("shell", "-v", "0", "-c", look)
