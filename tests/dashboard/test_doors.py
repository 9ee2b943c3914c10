"""The dashboard is closed by default: who may read, who may act, and that no other page on the web can do either."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from dashboard.conftest import SECRETS, Served
from regiment_dashboard import doors

PAGES = (
    "/",
    "/queue?name=mail",
    "/workers",
    "/dead",
    "/group?queue=mail",
    "/letter?queue=mail&id=t1",
    "/?fragment=1",
)
ACTS = ("pause", "resume", "purge", "replay", "drop")


def test_every_answer_forbids_what_is_not_ours(serve: Any, file: str) -> None:
    served: Served = serve(file)
    for page in (*PAGES, "/sign-in", "/letter?queue=mail&id=nothing", "/act/pause"):
        answer = served.ask(page, {} if page.startswith("/act") else None)
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; "), page
        assert "unsafe" not in policy and "frame-ancestors 'none'" in policy
        assert (answer.headers["x-frame-options"], answer.headers["x-content-type-options"]) == ("DENY", "nosniff")
        assert answer.headers["cache-control"] == "no-store"
        assert "httponly" in answer.headers.get("set-cookie", "httponly").lower()


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8420", "127.0.0.1.evil.example", ""])
def test_a_name_that_somebody_let_point_here_reads_nothing(serve: Any, file: str, host: str) -> None:
    served: Served = serve(file)
    for page in PAGES:
        answer = served.ask(page, Host=host)
        assert (answer.status, "mail" in answer.text) == (400, False), page


def test_a_name_that_the_operator_gave_is_served(serve: Any, file: str) -> None:
    served: Served = serve(file, "--host", "queues.example")
    assert served.ask("/", Host="queues.example").status == 200
    assert served.ask("/", Host="Queues.Example:443").status == 200


def test_another_page_changes_nothing_though_it_had_the_token(serve: Any, file: str) -> None:
    served: Served = serve(file)
    before = served.counts()
    for headers in (
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
    ):
        for act in ACTS:
            form = {"token": served.token(), "queue": "mail", "sure": "mail", "all": "yes", "letter": "1"}
            assert served.ask(f"/act/{act}", form, **headers).status == 403, (headers, act)
            assert served.counts()._replace(oldest=None) == before._replace(oldest=None)


def test_a_form_without_the_token_of_its_session_changes_nothing(serve: Any, file: str) -> None:
    served: Served = serve(file)
    before, old = served.counts(), served.token()
    served.cookie = ""
    served.ask("/")
    for token in ("", "x", old, served.token()[:-1]):
        assert served.ask("/act/purge", {"token": token, "queue": "mail", "sure": "mail"}).status == 403
    assert served.counts().ready == before.ready
    assert served.ask("/act/purge", {"token": served.token(), "queue": "mail", "sure": "mail"}).status == 200
    assert served.counts().ready == 0


def test_a_form_that_is_sent_again_changes_nothing(serve: Any, file: str) -> None:
    served: Served = serve(file)
    form = {"token": served.token(), "queue": "mail"}
    assert served.ask("/act/pause", form).status == 200
    for act in ACTS:
        again = served.ask(f"/act/{act}", {**form, "sure": "mail", "all": "yes", "letter": "1"})
        assert again.status == 403 and "This form was sent before" in again.text, act
    counts = served.counts()
    assert counts.paused and (counts.ready, counts.dead) == (3, 4)
    assert served.ask("/act/resume", {**form, "token": served.token()}).status == 200


def test_what_was_made_before_forms_that_are_remembered_no_more_is_not_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doors, "MOST_SPENT", 2)
    ours = doors.Doors(frozenset(), {}, "admin", 0)
    visitor = ours.visitor(None)
    clock = time.time() - 100
    monkeypatch.setattr(doors.time, "time", lambda: clock)
    tokens = []
    for _ in range(5):
        tokens.append(ours.form_token(visitor))
        clock += 10
    assert [ours.form_is_ours(visitor, token) for token in tokens[1:4]] == [True] * 3
    assert not any(ours.form_is_ours(visitor, token) for token in tokens[:4])
    assert ours.form_is_ours(visitor, tokens[4])
    late = ours.form_token(visitor)
    clock += doors.FORM_AGE + 1
    assert not ours.form_is_ours(visitor, late)


@pytest.mark.parametrize("role", ["viewer", "operator", "admin"])
def test_each_role_may_what_it_may_and_no_more(with_tokens: Served, role: str) -> None:
    with_tokens.sign_in(role)
    may = {"viewer": set(), "operator": {*ACTS} - {"purge", "drop"}, "admin": {*ACTS}}[role]
    shown = with_tokens.ask("/queue?name=mail").text + with_tokens.ask("/group?queue=mail").text
    assert ("/act/purge" in shown, "/act/drop" in shown) == (role == "admin", role == "admin")
    assert ("/act/pause" in shown, "/act/replay" in shown) == (role != "viewer", role != "viewer")
    for act in sorted(ACTS):
        before = with_tokens.counts()._replace(oldest=None)
        form = {"queue": "mail", "sure": "mail", "all": "yes"}
        token = with_tokens.token("/queue?name=mail") if role != "viewer" else with_tokens.token("/sign-in")
        status = with_tokens.ask(f"/act/{act}", {**form, "token": token}).status
        assert (status == 403) == (act not in may), act
        if act not in may:
            assert with_tokens.counts()._replace(oldest=None) == before, act


def test_a_stranger_sees_nothing_where_people_sign_in(with_tokens: Served) -> None:
    for page in PAGES:
        answer = with_tokens.ask(page)
        assert answer.status == 303 and "/sign-in?back=" in answer.headers["location"], page
    token = with_tokens.token("/sign-in")
    for act in ACTS:
        answer = with_tokens.ask(f"/act/{act}", {"token": token, "queue": "mail", "sure": "mail", "all": "yes"})
        assert answer.status == 303 and "/sign-in" in answer.headers["location"]
    assert with_tokens.counts().ready == 3


def test_a_viewer_reads_and_changes_nothing(with_tokens: Served) -> None:
    assert with_tokens.sign_in("viewer").status == 303
    for page in PAGES:
        answer = with_tokens.ask(page)
        assert answer.status == 200 and "/act/" not in answer.text, page
    token = with_tokens.token("/sign-in")
    for act in ACTS:
        form = {"token": token, "queue": "mail", "sure": "mail", "all": "yes", "letter": "1"}
        assert with_tokens.ask(f"/act/{act}", form).status == 403
    assert (with_tokens.counts().ready, with_tokens.counts().paused) == (3, False)


def test_an_operator_acts(with_tokens: Served) -> None:
    answer = with_tokens.sign_in("operator")
    assert (answer.status, answer.headers["location"]) == (303, "/dead")
    assert with_tokens.ask("/act/pause", {"token": with_tokens.token(), "queue": "mail"}).status == 200
    assert with_tokens.counts().paused


def test_a_cookie_that_was_changed_or_is_of_another_process_signs_nobody_in(
    with_tokens: Served, serve: Any, file: str
) -> None:
    with_tokens.sign_in("viewer")
    mine = with_tokens.cookie
    for role in ("operator", "admin"):
        with_tokens.cookie = mine.replace(".viewer.", f".{role}.")
        assert with_tokens.ask("/").status == 303
    other: Served = serve(file)
    other.ask("/")
    with_tokens.cookie = other.cookie
    assert with_tokens.ask("/").status == 303


def test_forms_work_again_with_the_cookie_of_a_process_that_is_gone(serve: Any, file: str) -> None:
    gone: Served = serve(file)
    gone.ask("/")
    served: Served = serve(file)
    name = served.ask("/").headers["set-cookie"].partition("=")[0]
    served.cookie = f"{name}={gone.cookie.partition('=')[2]}"
    assert served.ask("/act/pause", {"token": served.token(), "queue": "mail"}).status == 200
    assert served.counts().paused


def test_two_dashboards_of_one_host_leave_each_other_their_sessions(serve: Any, file: str) -> None:
    one, other = serve(file), serve(file)
    names = {served.ask("/").headers["set-cookie"].partition("=")[0] for served in (one, other)}
    assert len(names) == 2


def test_an_origin_that_is_no_address_is_another_page(serve: Any, file: str) -> None:
    served: Served = serve(file)
    assert served.ask("/act/pause", {"token": served.token(), "queue": "mail"}, Origin="http://[").status == 403


def test_signing_in_leads_nowhere_else_and_a_wrong_token_says_so(with_tokens: Served) -> None:
    wrong = with_tokens.ask("/sign-in", {"token": with_tokens.token("/sign-in"), "key": "wrong", "back": "/"})
    assert wrong.status == 403 and "That token is not known." in wrong.text
    for back in ("//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)"):
        form = {"token": with_tokens.token("/sign-in"), "key": SECRETS["viewer"], "back": back}
        assert with_tokens.ask("/sign-in", form).headers["location"] == "/"


def test_read_only_means_that_nobody_acts(serve: Any, file: str) -> None:
    served: Served = serve(file, "--read-only")
    assert "/act/" not in served.ask("/queue?name=mail").text
    assert served.ask("/act/purge", {"token": "x", "queue": "mail", "sure": "mail"}).status == 403
    assert served.counts().ready == 3


@pytest.mark.parametrize("body", [{"x": "y" * 70_000}, {f"n{n}": "" for n in range(500)}])
def test_a_form_that_is_too_large_is_refused(serve: Any, file: str, body: dict[str, str]) -> None:
    served: Served = serve(file)
    assert served.ask("/act/purge", body).status == 400


def test_nothing_outside_of_the_assets_is_served(serve: Any, file: str) -> None:
    served: Served = serve(file)
    for path in ("/static/../app.py", "/static/%2e%2e/app.py", "/static//etc/passwd", "/static/", "/nothing"):
        assert served.ask(path).status in (404, 405), path


def test_what_a_user_can_fill_is_text_on_every_page(serve: Any, url: str) -> None:
    served: Served = serve(url)
    for page in PAGES:
        found = served.ask(page)
        assert found.status == 200 and "<script>document" not in found.text, page
        assert not re.search(r"\son\w+=|javascript:|\sstyle=", found.text), page
        assert "hunter2" not in found.text, "secrets are masked by the names of their arguments"


def test_templates_never_switch_the_escaping_off() -> None:
    folder = Path(__file__).parents[2] / "plugins/dashboard/src/regiment_dashboard"
    for path in folder.glob("templates/*.html"):
        text = path.read_text()
        assert "safe" not in re.findall(r"\|\s*(\w+)", text) and "autoescape" not in text, path.name
    assert [path.name for path in folder.glob("*.py") if "Markup(" in path.read_text()] == ["drawing.py"]


def refused(folder: Path, *words: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "regiment", "dashboard", *words], cwd=folder, capture_output=True, text=True, timeout=60
    )
    return done.returncode, done.stderr


def test_what_would_be_open_or_cannot_be_served_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "short").write_text("abc")
    for words, text in (
        (
            ("--listen", "0.0.0.0:8420"),
            "is open to other hosts, and nobody would have to sign in; expected --admin-token-file, --operator-token-file",
        ),
        (("--listen", "8420"), '--listen is "8420"; expected HOST:PORT, such as 127.0.0.1:8420'),
        (("--operator-token-file", "short"), "--operator-token-file short holds 3 characters; expected 16 at least"),
        (("--viewer-token-file", "none"), "--viewer-token-file none cannot be read: No such file or directory"),
        (("--prefix", "queues/"), '--prefix is "queues/"; expected a path that begins with /'),
    ):
        code, said = refused(tmp_path, *words)
        assert code == 5 and text in said, said
