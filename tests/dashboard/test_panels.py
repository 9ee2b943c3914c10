"""Pages by plugins: those of schedules, flows and limits, and what a stranger's may do and may not."""

from __future__ import annotations

import contextlib
import json
import re
import textwrap
from pathlib import Path
from typing import Any

import pytest

from dashboard.conftest import Served
from harness.store import connector
from regiment import Queue
from regiment.contracts import FOREVER, Flowing, Keep, Terms
from regiment_cli.release import Release
from regiment_console.acting import read
from regiment_limits import Lane, Limits, Pool
from regiment_limits.budgets import rules_of
from regiment_limits.ruling import settle
from regiment_schedules import Schedules, schedules
from regiment_schedules.records import Row, row_key
from regiment_workflows import FlowQueue, Workflows, flow, group

LIMITS = Limits(pools={"crm": Pool(at_once=2, lane=Lane(at_once=1))})


def nap(tenant: str) -> None: ...


def double(n: int) -> int:
    return 2 * n


def acts(url: str, queue: str) -> list[str]:
    """What was done to a queue, as its account says, newest first."""
    with contextlib.closing(connector(url, "look")) as store:
        entries = [read(act.entry) for act in store.acts(queue, 20)]
    assert all("dashboard from 127.0.0.1" in one["via"] for one in entries)
    return [f"{one['what']} {one.get('of', '')}".strip() for one in entries]


def scheduled(url: str) -> Any:
    """A queue with two schedules, of which one is late."""
    queue = Queue("mail", connector=url, plugins=[Schedules()])
    plan = schedules(queue)
    task = queue.task(nap)
    plan.add("often", task, every=1.0, kwargs={"tenant": "a"})
    plan.add("yearly", task, "0 0 1 1 *", kwargs={"tenant": "a"})
    return plan


def test_schedules_are_shown_paused_resumed_and_run(serve: Any, url: str) -> None:
    plan = scheduled(url)
    served: Served = serve(url)
    page = served.ask("/schedules").text
    assert '<a href="/schedules" aria-current="page">Schedules</a>' in page
    assert "0 0 1 1 *" in page and ">yearly</th>" in page
    said = []
    for act in ("pause", "pause", "resume", "resume", "run"):
        form = {"token": served.token("/schedules"), "queue": "mail", "name": "yearly"}
        said.append(served.ask(f"/schedules/{act}", form).text)
        if act == "pause":
            assert plan.get("yearly").paused and 'class="tag">paused' in served.ask("/schedules").text
    assert not plan.get("yearly").paused
    assert "is paused already" in said[1] and "is not paused" in said[3] and "pushed yearly!" in said[4]
    assert served.counts().ready == 4, "3 that were there, and the one that was run now"
    assert acts(url, "mail") == ["schedules run yearly", "schedules resume yearly", "schedules pause yearly"]


def test_of_many_queues_without_a_limit_unique_tasks_are_shown_one_queue_at_a_time(serve: Any, file: str) -> None:
    for number in range(25):
        queue = Queue(f"q{number}", connector=file, plugins=[Limits()])
        queue.task(unique="{n}")(double).push(n=number)
    served: Served = serve(file)
    page = served.ask("/limits").text
    assert "Unique tasks of queues without a limit are shown of one queue" in page and "<h3>Unique tasks" not in page
    one = served.ask("/limits?queue=q7").text
    assert "<h3>Unique tasks" in one and 'href="/queue?name=q7"' in one and "q8" not in one


def test_a_schedule_that_nobody_serves_does_not_look_alive(serve: Any, file: str) -> None:
    scheduled(file)
    served = serve(file)
    page = served.ask("/schedules").text
    assert "Nobody serves mail, so that nothing of it is pushed" in page and 'class="tag">nobody serves it<' in page
    store = connector(file, "keep")
    with contextlib.closing(store):
        worker = {"pid": 2, "queue": "mail", "tasks": 0, "rate": 0.0}
        store.announce("web1-1", json.dumps({"host": "web1", "pid": 1, "workers": [worker]}).encode(), 600)
    assert "obody serves" not in served.ask("/schedules").text


def test_a_schedule_that_nobody_fires_is_late(serve: Any, file: str) -> None:
    plan, served = scheduled(file), serve(file)
    store: Any = connector(file, "push")
    with contextlib.closing(store):  # as if nothing had been fired for a minute
        record = store.records("mail", [row_key("often")])[0]
        row = Row("often", record.version, record.value)
        store.apply(
            "mail", [Keep(row_key("often"), row.keep(last=row.last - 60).value, None, record.rank + 1)], token="t"
        )
    assert plan.get("often").late > 50 and plan.get("yearly").late == 0
    page = served.ask("/schedules").text
    assert "1 schedule is late" in page and 'often <span class="tag">late by ' in page


def test_a_flow_is_a_picture_with_states_and_is_cancelled_and_opened(serve: Any, url: str) -> None:
    queue = FlowQueue("mail", connector=url, plugins=[Workflows()])
    task = queue.task(double)
    with flow("nightly") as made:
        many = made.add(group(task.s(n=n) for n in range(30)), name="rows")
        gate = made.gate("approval")
        made.add(task.s(n=1), name="last", after=[many, gate])
    made.start(id="n-1")
    served: Served = serve(url)
    assert ">n-1</a>" in served.ask("/flows").text
    page = served.ask("/flows?queue=mail&id=n-1").text
    assert page.count('<g class="step ') == 3, "thirty members are one box"
    assert "0 of 30" in page and '<g class="step waiting"><title>last</title>' in page
    form = {"queue": "mail", "id": "n-1", "back": "/flows?queue=mail&id=n-1"}
    assert "opened approval of n-1" in served.send("/flows/open", {**form, "gate": "approval"}, form["back"]).text
    for act in ("cancel", "cancel"):
        said = served.send(f"/flows/{act}", form).text
    assert "n-1 has ended already" in said and 'href="/flows?queue=mail&amp;id=n-1">Back' in said
    assert 'class="tag cancelled">cancelled' in served.ask("/flows?queue=mail&id=n-1").text
    assert acts(url, "mail") == ["flows cancel n-1", "flows open n-1 approval"]
    assert served.ask("/flows?queue=mail&id=gone").status == 400


def test_budgets_and_keys_are_shown_with_their_holders_and_who_waits(serve: Any, url: str) -> None:
    queue = Queue("crawl", connector=url, plugins=[LIMITS])
    task = queue.task(pool="crm", lane="{tenant}", unique="{tenant}-{n}")(_fetch)
    ids = [task.push(tenant="acme", n=n).id for n in range(3)]
    store: Any = connector(url, "lease")
    with contextlib.closing(store):
        settle(store, "crawl", rules_of(LIMITS.options), Release("1", 1.0, "web1:1"))
        store.join("crawl", "c", Terms(slots=10))
        assert len(store.exchange("crawl", "c", 1, 1, (), 10, 1 << 20).deliveries) == 1
        served: Served = serve(url)
        page = served.ask("/limits").text
        lane = page.split("lane:crm/acme</th>")[1].split("</tr>")[0]
        assert "1 of 1" in lane and "is full: 1 of 1 run" in lane
        assert lane.index(ids[0]) < lane.index(ids[1]) < lane.index(ids[2]), "who holds it, and then who waits"
        assert '>acme-0</th><td class="code">' + ids[0] in page
        form = {"queue": "crawl", "pool": "crm", "lane": ""}
        assert "paused pool:crm" in served.send("/limits/pause", form, "/limits").text
        flow: Flowing = store
        assert flow.flow("crawl", [("crm", "")])[0].gate == FOREVER
        assert "resumed pool:crm" in served.send("/limits/resume", form, "/limits").text
        assert flow.flow("crawl", [("crm", "")])[0].gate == 0
    assert acts(url, "crawl")[-2:] == ["limits resume pool:crm", "limits pause pool:crm"]


def _fetch(tenant: str, n: int) -> None: ...


def test_a_panel_changes_nothing_for_a_viewer_another_page_or_a_form_without_a_token(
    serve: Any, file: str, with_tokens: Served
) -> None:
    plan = scheduled(file)
    with_tokens.sign_in("viewer")
    page = with_tokens.ask("/schedules")
    assert page.status == 200 and "<form" not in page.text
    form = {"token": with_tokens.token("/sign-in"), "queue": "mail", "name": "yearly"}
    assert with_tokens.ask("/schedules/pause", form).status == 403
    open_to_all: Served = serve(file)
    form["token"] = open_to_all.token("/schedules")
    assert open_to_all.ask("/schedules/pause", form, Sec_Fetch_Site="cross-site").status == 403
    assert open_to_all.ask("/schedules/pause", {**form, "token": ""}).status == 403
    assert open_to_all.ask("/schedules", Host="evil.example").status == 400
    assert not plan.get("yearly").paused


# A stranger's


STRANGE = """
import pathlib, time
from regiment.contracts import EFFECTS
from regiment.hooks import hookimpl
from regiment_cli.panels import Done, Panel

@hookimpl(optionalhook=True)
def regiment_panels():
    yield Panel("Good", "good", "strange:Page", order=1)
    yield Panel("Broken", "broken", "strange:Broken", order=2)
    yield Panel("Missing", "missing", "nosuch:Page", order=3)
    yield Panel("Template", "template", "strange:Template", order=4)
    yield Panel("Writes", "writes", "strange:Writes", order=5)
    yield Panel("Same path", "good", "strange:Page")
    yield Panel("Ours", "dead", "strange:Page")
    yield Panel("Odd", "../x", "strange:Page")
    yield Panel("Needs", "needs", "strange:Page", needs=frozenset({"telepathy"}))
    yield "no panel"

class Page:
    templates = pathlib.Path(__file__).parent / "pages"
    acts = {"greet": lambda asked: Done("hello " + asked.values["who"], "who"), "odd": lambda asked: 3}
    show = staticmethod(lambda asked: ("page.html", {"what": asked.values.get("what", "")}))

class Broken(Page):
    def show(asked):
        raise ValueError("the <b>bank</b> does not answer")

class Template(Page):
    show = staticmethod(lambda asked: ("page.html", {}))

class Writes(Page):
    def show(asked):
        with asked.broker.connector() as store:
            store.post(asked.queues[0], paused=True)
"""
PAGE = """{% extends "panel.html" %}{% block panel %}<h1>Good</h1><p>{{ what }}</p><script>document.title = "got in"</script>
<p style="color: red">red</p>{% endblock %}"""


@pytest.fixture
def strange(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A plugin whose panels fail in every way, one of them good."""
    (tmp_path / "strange.py").write_text(textwrap.dedent(STRANGE))
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages/page.html").write_text(PAGE)
    monkeypatch.setenv("REGIMENT_PLUGINS", "strange")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


def test_a_panel_that_fails_is_a_box_with_the_reason_and_hides_no_other_page(
    strange: Path, serve: Any, file: str
) -> None:
    served: Served = serve(file)
    for path, why in (
        ("broken", "ValueError: the &lt;b&gt;bank&lt;/b&gt; does not answer"),
        ("missing", "ModuleNotFoundError: No module named &#39;nosuch&#39;"),
        ("template", "UndefinedError: &#39;what&#39; is undefined"),
        ("writes", "The panel writes cannot be shown: "),
    ):
        answer = served.ask(f"/{path}")
        assert answer.status == 502 and f"The panel {path} cannot be shown" in answer.text and why in answer.text
    assert not served.counts().paused, "who shows something can change nothing"
    good = served.ask("/good?what=<script>")
    assert good.status == 200 and "<p>&lt;script&gt;</p>" in good.text
    assert "script-src 'self'" in good.headers["content-security-policy"]
    navigation = good.text.split("<nav")[1].split("</nav>")[0]
    assert re.findall(r'href="/(\w*)"', navigation)[3:8] == ["good", "broken", "missing", "template", "writes"]
    assert "Same path" not in navigation and "Needs" not in navigation and 'href="/dead"' in navigation
    assert "<h1>Dead letters</h1>" in served.ask("/dead").text


def test_a_form_of_a_panel_that_fails_says_so(strange: Path, serve: Any, file: str) -> None:
    served: Served = serve(file)
    form = {"queue": "mail", "who": "Ada"}
    assert "hello Ada" in served.send("/good/greet", form).text
    odd = served.send("/good/odd", form)
    assert odd.status == 502 and "expected Done" in odd.text
    missing = served.send("/good/nosuch", form)
    assert missing.status == 409 and "this panel has no form" in missing.text
    assert served.send("/good/greet", {**form, "queue": ""}).status == 409
    assert acts(file, "mail") == ["good greet who"]


def test_the_policy_is_not_widened_for_a_panel(strange: Path, serve: Any, file: str, chromium: Any) -> None:
    served: Served = serve(file)
    with contextlib.closing(chromium.new_context()) as context:
        page, said = context.new_page(), []
        page.on("console", lambda message: said.append(message.text))
        page.goto(f"http://127.0.0.1:{served.port}/good?what=1")
        assert page.title() == "regiment", "its script did not run"
        assert page.get_by_text("red").evaluate("e => getComputedStyle(e).color") != "rgb(255, 0, 0)"
        assert len([one for one in said if "Content Security Policy" in one]) == 2
