"""What the pages show, what their forms do, and how they look in a real browser."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from dashboard.conftest import Served, fill
from harness import servers
from harness.store import connector
from harness.wait import eventually
from regiment.contracts import Dead, Terms
from regiment.queue import Queue
from regiment_console.acting import read


def test_the_first_page_says_what_needs_attention_in_one_sentence(serve: Any, url: str) -> None:
    text = serve(url).ask("/").text
    assert "&#34;mail&#34; has 3 ready tasks, the oldest " in text and "and no living worker</strong>" in text
    assert '<a href="/queue?name=mail">mail</a>' in text


def test_a_store_without_anything_says_that_all_is_well(serve: Any, tmp_path: Any) -> None:
    text = serve(f"sqlite:///{tmp_path}/new.db").ask("/").text
    assert "All is well." in text and "No queue holds anything yet." in text


def test_a_queue_is_paused_and_goes_on(serve: Any, url: str) -> None:
    served: Served = serve(url)
    for act, paused in (("pause", True), ("resume", False)):
        assert served.ask(f"/act/{act}", {"token": served.token(), "queue": "mail"}).status == 200
        assert served.counts().paused is paused
        page = served.ask("/queue?name=mail").text
        assert (f'action="/act/{"resume" if paused else "pause"}"' in page) and ('class="tag">paused' in page) is paused


def test_pausing_twice_is_one_act_and_the_page_says_so(serve: Any, url: str) -> None:
    served: Served = serve(url)
    said = []
    for act in ("pause", "pause", "resume", "resume"):
        said.append(served.ask(f"/act/{act}", {"token": served.token(), "queue": "mail"}).text)
    assert "is paused already" in said[1] and "is not paused" in said[3]
    store = connector(url, "look")
    with contextlib.closing(store):
        assert [read(act.entry)["what"] for act in store.acts("mail", 10)] == ["resume", "pause"]


def test_a_waiting_task_has_its_priority_by_name(serve: Any, url: str) -> None:
    Queue("mail", connector=url).options(name="send", priority="HIGH").push(number=9)
    page = serve(url).ask("/queue?name=mail").text
    assert "<td>HIGH</td>" in page and page.count("<td>NORMAL</td>") == 3


def test_an_unknown_address_is_a_page_with_a_way_back(serve: Any, url: str) -> None:
    answer = serve(url).ask("/no<b>pe")
    assert answer.status == 404 and "There is no page &#34;no&lt;b&gt;pe&#34; here." in answer.text
    assert '<a href="/">Back</a>' in answer.text


def test_what_waits_is_deleted_only_where_the_name_is_repeated(serve: Any, url: str) -> None:
    served: Served = serve(url)
    answer = served.ask("/act/purge", {"token": served.token(), "queue": "mail", "sure": "male"})
    assert answer.status == 409 and "nothing was deleted: expected the name of the queue" in answer.text
    assert served.counts().ready == 3
    answer = served.ask("/act/purge", {"token": served.token(), "queue": "mail", "sure": "mail"})
    assert "3 tasks of &#34;mail&#34; deleted" in answer.text
    assert (served.counts().ready, served.counts().dead) == (0, 4)


def test_all_of_a_group_is_replayed_and_nothing_that_died_after_the_page_was_made(serve: Any, url: str) -> None:
    served: Served = serve(url)
    group = re.search(r'group=(\w+)">failure: ValueError', served.ask("/dead").text)[1]
    page = served.ask(f"/group?queue=mail&group={group}").text
    upto = page.split('name="upto" value="')[1].split('"')[0]
    store = connector(url, "lease")
    with contextlib.closing(store):
        store.join("mail", "d", Terms())
        taken = store.exchange("mail", "d", 1, 1, [], 1, 1 << 20).deliveries
        reason = _dead(url)[0].reason  # of the same group
        store.exchange("mail", "d", 2, 2, [Dead(taken[0].receipt, "late", reason)], 0, 1 << 20)
    form = {"token": served.token(), "queue": "mail", "group": group, "upto": upto, "all": "yes"}
    answer = served.ask("/act/replay", form)
    assert "2 dead letters of &#34;mail&#34; replayed" in answer.text
    assert (served.counts().ready, served.counts().dead) == (2 + 2, 3)


def test_from_letters_and_from_what_was_done_to_them_there_are_ways_back(serve: Any, file: str) -> None:
    served: Served = serve(file)
    group = re.search(r'group=(\w+)">failure: ValueError', served.ask("/dead").text)[1]
    mine, queue, dead = (
        f'href="/group?queue=mail&amp;group={group}"',
        'href="/queue?name=mail"',
        'href="/dead?queue=mail"',
    )
    letter = re.search(r'href="(/letter[^"]*)"', served.ask(f"/group?queue=mail&group={group}").text)[1].replace(
        "&amp;", "&"
    )
    page = served.ask(letter).text
    assert 'href="/dead"' in page and mine in page and queue in page and dead in page
    form = {"token": served.token(), "queue": "mail", "group": group, "upto": _dead(file)[0].id, "all": "yes"}
    done = served.ask("/act/replay", form).text
    assert "replayed" in done and 'href="/dead"' in done and mine in done and queue in done
    gone = served.ask(f"/group?queue=mail&group={group}").text
    assert "None is left." in gone and 'href="/dead"' in gone


def test_a_queue_that_has_more_groups_than_a_page_says_so(serve: Any, file: str) -> None:
    store = connector(file, "lease")
    with contextlib.closing(store):
        store.join("many", "d", Terms())
        store.push("many", [b"x"] * 230, priority=5, token="many")
        taken = store.exchange("many", "d", 1, 1, [], 230, 1 << 20).deliveries
        kinds = [b'{"kind": "failure", "error_type": "E%d", "name": "send"}' % n for n in range(230)]
        store.exchange("many", "d", 2, 300, [Dead(t.receipt, "t", k) for t, k in zip(taken, kinds, strict=True)], 0, 1)
        store.release("many", "d", (), {}, close=True)
    page = serve(file).ask("/dead").text
    assert (
        "The 200 largest of 232 groups; a queue&#39;s name leads to its own." in page
        or "The 200 largest of 232" in page
    )


def test_ticked_letters_are_deleted_and_no_other(serve: Any, url: str) -> None:
    served: Served = serve(url)
    letters = [letter.id for letter in _dead(url)][:2]
    form = {"token": served.token(), "queue": "mail", "letter": letters}
    assert "2 dead letters of &#34;mail&#34; deleted" in served.ask("/act/drop", form).text
    assert not {letter.id for letter in _dead(url)} & set(letters) and served.counts().dead == 2


def test_a_button_without_a_tick_changes_nothing(serve: Any, file: str) -> None:
    served: Served = serve(file)
    for act in ("replay", "drop"):
        answer = served.ask(f"/act/{act}", {"token": served.token(), "queue": "mail"})
        assert answer.status == 409 and "nothing was changed: tick letters" in answer.text
    assert served.counts().dead == 4


def test_what_is_not_there_is_said_with_the_nearest_name(serve: Any, file: str) -> None:
    served: Served = serve(file)
    answer = served.ask("/queue?name=male")
    assert answer.status == 400 and "Did you mean &#34;mail&#34;?" in answer.text
    assert served.ask("/queue").status == 400
    assert served.ask("/letter?queue=mail&id=nothing").status == 404


def test_a_store_that_is_away_leaves_the_page_and_comes_back(serve: Any) -> None:
    with servers.redis() as server:
        url = f"redis://127.0.0.1:{server.port}/0"
        fill(url)
        served: Served = serve(url)
        assert "mail" in served.ask("/").text
        server.kill()
        eventually(lambda: "The store does not answer" in served.ask("/").text, 20, "that it is away")
        assert ">mail</a>" in served.ask("/").text, "what was seen last is shown, with its time"
        assert served.ask("/dead?queue=mail").status == 503
        server.start()
        eventually(lambda: "The store does not answer" not in served.ask("/").text, 30, "that it is back")
        assert served.ask("/dead?queue=mail").status == 200


def test_pages_that_wait_for_a_store_that_hangs_do_not_wait_one_after_the_other(serve: Any) -> None:
    with servers.redis() as server:
        url = f"redis://127.0.0.1:{server.port}/0"
        fill(url)
        served: Served = serve(url)
        served.ask("/letter?queue=mail&id=t1")
        os.kill(server.pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            with ThreadPoolExecutor(6) as crowd:
                answers = list(crowd.map(lambda _: served.ask("/letter?queue=mail&id=t1").status, range(6)))
            assert answers == [503] * 6
            assert time.monotonic() - began < 20, "six times its 5 s, if each waits for itself"
        finally:
            os.kill(server.pid, signal.SIGCONT)
        eventually(lambda: served.ask("/letter?queue=mail&id=t1").status == 200, 20, "that it is back")


@pytest.mark.parametrize("number", ["Infinity", "NaN", "1e400"])
def test_a_record_of_a_worker_that_makes_no_sense_stops_no_page(serve: Any, file: str, number: str) -> None:
    store = connector(file, "keep")
    for pid, worker in (("1", number), (number, "1")):
        record = f'{{"host": "h", "pid": {pid}, "workers": [{{"pid": 1, "queue": "mail", "tasks": {worker}, "rate": {worker}}}]}}'
        store.announce(f"odd-{pid}", record.encode(), 600)
    store.close()
    served: Served = serve(file)
    for path in ("/", "/workers", "/queue?name=mail"):
        assert served.ask(path).status == 200, path
    before = served.ask("/?fragment=1").headers["etag"]
    eventually(lambda: served.ask("/?fragment=1").headers["etag"] != before, 20, "that somebody still looks")


def test_the_page_of_workers_says_since_when_with_which_code_and_what_they_do(serve: Any, file: str) -> None:
    worker = {"pid": 12, "queue": "mail", "tasks": 7, "rate": 0.5, "target": 0, "state": "busy", "memory": 48, "cpu": 3}
    now = [{"task": "send", "id": "m-1", "since": time.time() - 90}]
    target = {
        "label": "shop:mail",
        "queue": "mail",
        "code": "abcdef0123",
        "since": 1.0,
        "ends": {"crash": 2},
        "tasks": [],
        "reads": [],
    }
    record = {
        "host": "web1",
        "pid": 4,
        "regiment": "0.2.0",
        "release": "r7",
        "since": 1_800_000_000,
        "targets": [target],
    }
    store = connector(file, "keep")
    store.announce(
        "w", json.dumps({**record, "workers": [{**worker, "now": now, "since": 1_800_000_000}]}).encode(), 600
    )
    store.announce(
        "odd",
        json.dumps({**record, "host": "web2", "targets": 3, "workers": [{**worker, "now": 3, "state": []}]}).encode(),
        600,
    )
    store.close()
    page = serve(file).ask("/workers").text
    for words in (
        "release r7",
        "regiment 0.2.0",
        "shop:mail: code",
        "abcdef01",
        "2 crash",
        "busy",
        "send m-1 for ",
        "48 MiB",
        "3 s",
    ):
        assert words in page, words
    assert "web2" in page, "a record of another release hides no other"


def test_how_many_look_does_not_change_what_the_store_is_asked(serve: Any) -> None:
    with servers.redis() as server:
        url = f"redis://127.0.0.1:{server.port}/0"
        fill(url)
        served: Served = serve(url)
        served.ask("/")
        asked = []
        for viewers in (1, 20):
            before, began = _commands(server), time.monotonic()
            threads = [threading.Thread(target=_look, args=(served, began + 4)) for _ in range(viewers)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            asked.append((_commands(server) - before) / (time.monotonic() - began))
        assert asked[1] < 2 * asked[0] + 5, asked


def _look(served: Served, until: float) -> None:
    while time.monotonic() < until:
        assert served.ask("/?fragment=1").status == 200
        time.sleep(0.1)


def _commands(server: Any) -> int:
    info = server.ask("INFO", "stats").decode()
    return int(info.split("total_commands_processed:")[1].split()[0])


def test_nobody_who_looks_means_that_nothing_is_asked(serve: Any) -> None:
    with servers.redis() as server:
        url = f"redis://127.0.0.1:{server.port}/0"
        fill(url)
        served: Served = serve(url)
        served.ask("/")

        def quiet() -> bool:
            before = _commands(server)
            time.sleep(3)
            return _commands(server) - before <= 1  # the question itself

        eventually(quiet, 90, "the store is still asked")


def _dead(url: str) -> Any:
    with contextlib.closing(connector(url, "look")) as store:
        return store.dead("mail")


# In a browser


@pytest.fixture
def page(chromium: Any) -> Any:
    """A page whose console stays empty."""
    with contextlib.closing(chromium.new_context(viewport={"width": 1280, "height": 900})) as context:
        made, said = context.new_page(), []
        made.on("console", lambda message: said.append(message.text))
        made.on("pageerror", lambda error: said.append(str(error)))
        yield made
        assert said == []


def test_a_browser_finds_nothing_to_complain_of_on_any_page(serve: Any, file: str, page: Any) -> None:
    served: Served = serve(file)
    for path in (
        "/",
        "/queue?name=mail",
        "/workers",
        "/dead",
        "/group?queue=mail",
        "/letter?queue=mail&id=t1",
        "/sign-in",
    ):
        page.goto(f"http://127.0.0.1:{served.port}{path}")
        assert page.title().endswith("regiment") and page.locator("h1").count() == 1, path
        unnamed = page.evaluate(
            "[...document.querySelectorAll('a,button,input:not([type=hidden]):not([aria-hidden])')].filter(e => !(e.innerText || e.ariaLabel || e.labels?.length)).length"
        )
        assert unnamed == 0, f"{path}: what can be used has a name"


def test_the_first_page_follows_what_happens(serve: Any, file: str, page: Any) -> None:
    served: Served = serve(file)
    page.goto(f"http://127.0.0.1:{served.port}/")
    page.get_by_role("link", name="mail").focus()
    fill(file, ready=5, dead=0)
    page.get_by_role("cell", name="8", exact=True).wait_for(timeout=20_000)
    assert page.evaluate("document.activeElement.textContent") == "mail", "the focus stays where it was"


def test_without_scripts_a_group_is_replayed(serve: Any, file: str, chromium: Any) -> None:
    served: Served = serve(file)
    with contextlib.closing(chromium.new_context(java_script_enabled=False)) as context:
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{served.port}/dead")
        page.get_by_role("link", name="failure: ValueError").click()
        page.get_by_role("button", name="Replay all of this group").click()
        page.get_by_text('2 dead letters of "mail" replayed').wait_for()
    assert served.counts().dead == 2


def test_by_keyboard_alone_a_group_is_replayed(serve: Any, file: str, page: Any) -> None:
    served: Served = serve(file)
    page.goto(f"http://127.0.0.1:{served.port}/")

    def tab_to(text: str) -> None:
        for _ in range(60):
            page.keyboard.press("Tab")
            if text in page.evaluate(
                "document.activeElement.matches('a,button') ? document.activeElement.innerText : ''"
            ):
                page.keyboard.press("Enter")
                return
        raise AssertionError(f"the keyboard does not reach {text!r}")

    tab_to("Dead letters")
    page.wait_for_url("**/dead")
    tab_to("failure: ValueError")
    page.wait_for_url("**/group*")
    tab_to("Replay all of this group")
    page.get_by_text('2 dead letters of "mail" replayed').wait_for()
    assert served.counts().dead == 2


def test_seven_tabs_are_live_at_once(serve: Any, file: str, chromium: Any) -> None:
    served: Served = serve(file)
    with contextlib.closing(chromium.new_context()) as context:
        pages = [context.new_page() for _ in range(7)]
        for page in pages:
            page.goto(f"http://127.0.0.1:{served.port}/")
        fill(file, ready=5, dead=0)
        for page in pages:
            page.bring_to_front()
            page.get_by_role("cell", name="8", exact=True).wait_for(timeout=20_000)


def test_people_sign_in_and_come_to_the_page_that_they_wanted(with_tokens: Served, chromium: Any) -> None:
    with contextlib.closing(chromium.new_context()) as context:
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{with_tokens.port}/queue?name=mail")
        page.get_by_label("Token").fill("a-viewer-knows-this")
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url("**/queue?name=mail")
        assert page.get_by_text("read only").count() == 1
