"""The dashboard's pages of single tasks, of what people did and of what the doctor says: the verbs' words, as pages."""

from __future__ import annotations

import re
from typing import Any

import pytest

from dashboard.conftest import NASTY, Served
from harness.store import connector
from regiment import Queue
from regiment_console.pages import DoctorPage


def send(to: str) -> None: ...


def waiting(url: str, **options: Any) -> str:
    """The id of one task more, of a name that is found."""
    pushed = Queue("mail", connector=url).options(name="letters.send", **options).push(to="ada", password="hunter2")
    return str(pushed.id)


def test_tasks_are_listed_by_state_and_found_by_their_text(serve: Any, url: str) -> None:
    later = waiting(url, delay=600)
    served: Served = serve(url)
    page = served.ask("/tasks").text
    assert page.count('<tr><th scope="row">') == 4 and later in page
    delayed = served.ask("/tasks?state=delayed&queue=mail").text
    assert re.findall(r'id=([^"]+)">', delayed) == [later]
    assert later in served.ask("/tasks?q=letters.send").text
    assert "No such task waits or runs." in served.ask("/tasks?q=nobody-has-this").text
    assert "No such task waits or runs." in served.ask("/tasks?queue=unknown").text
    wrong = served.ask("/tasks?state=lost")
    assert wrong.status == 400 and "there are ready, delayed, leased, parked, retrying" in wrong.text


def test_one_task_says_why_it_does_not_run_and_hides_what_is_secret(serve: Any, url: str) -> None:
    id = waiting(url, delay=600)
    page = serve(url).ask(f"/tasks?id={id}").text
    assert "<h1>letters.send" in page and "Why it does not run" in page
    assert re.search(r"<dt>Due in</dt><dd>(9|10) m</dd>", page)
    assert "&#39;ada&#39;" in page and "hunter2" not in page


def test_a_dead_task_is_named_with_its_letter_and_one_that_is_not_there_with_what_that_means(
    serve: Any, url: str
) -> None:
    with_letter = connector(url, "look")
    letter = with_letter.dead("mail", 1)[0]
    with_letter.close()
    served: Served = serve(url)
    found = re.search(
        r"/letter\?queue=mail&amp;id=([^\"]+)", served.ask("/dead").text + served.ask("/group?queue=mail").text
    )
    assert found is not None
    id = re.search(r'<dd class="code">([^<]+)</dd>', served.ask(f"/letter?queue=mail&id={letter.id}").text)
    assert id is not None
    page = served.ask(f"/tasks?id={id[1]}").text
    assert "dead since" in page and f"id={letter.id}" in page
    assert "was never pushed there, or has ended" in served.ask("/tasks?id=nobody").text


def test_a_task_is_run_now_and_cancelled_and_the_audit_says_who_did_it(serve: Any, url: str) -> None:
    id = waiting(url, delay=600)
    served: Served = serve(url)
    form, page = {"queue": "mail", "id": id}, f"/tasks?id={id}"
    assert f"{id} is ready now" in served.send("/tasks/run", form, page).text
    assert served.counts().ready == 4 and served.counts().delayed == 0
    assert "ends without a run when its turn comes" in served.send("/tasks/cancel", form, page).text
    store = connector(url, "look")
    assert store.board("mail").cancelled == {id}
    store.close()
    page = served.ask("/audit").text
    rows = re.findall(r'<th scope="row">(.*?)</th>', page)
    assert rows == ["tasks cancel", "tasks run"] and id in page and "dashboard from 127.0.0.1" in page
    assert "tasks run" in served.ask("/audit?queue=mail").text
    gone = served.send("/tasks/run", {**form, "id": "nobody"})
    assert gone.status == 409 and "does not wait or run in" in gone.text


def test_a_viewer_sees_the_pages_and_may_do_nothing(with_tokens: Served) -> None:
    served, url = with_tokens, with_tokens.url
    id = waiting(url, delay=600)
    served.sign_in("viewer")
    page = served.ask(f"/tasks?id={id}").text
    assert "letters.send" in page and '<form method="post"' not in page.split("<main")[1]
    token = re.search(r'name="token" value="(\w+)"', page)
    form = {"token": token[1] if token else "", "queue": "mail", "id": id}
    assert served.ask("/tasks/cancel", form).status == 403
    store = connector(url, "look")
    assert store.board("mail").cancelled == frozenset()
    store.close()


def test_the_doctor_says_on_its_page_what_it_says_at_a_terminal(serve: Any, file: str) -> None:
    served: Served = serve(file)
    page = served.ask("/doctor").text
    assert '<th scope="row">F01</th>' in page and "no living worker" in page and "regiment run TARGET" in page
    assert NASTY not in page


def test_the_doctor_reads_the_store_once_in_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    from regiment import Queue
    from regiment_cli.panels import Asked

    queue, looked = Queue("mail", connector="memory:"), []
    monkeypatch.setattr("regiment_console.pages.fleet.answers", lambda store: looked.append(store) or [])
    page, asked = DoctorPage(), Asked(queue.broker, ["mail"], {})
    first, again = page.show(asked)[1], page.show(asked)[1]
    assert len(looked) == 1 and first["bad"] == again["bad"] and again["ago"] >= 0
