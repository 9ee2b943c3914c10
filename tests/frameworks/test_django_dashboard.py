"""The dashboard of a project of Django over real HTTP: behind its login, for its staff, operated by who has the permission."""

from __future__ import annotations

import http.client
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import pytest

from harness import servers
from harness.wait import eventually

pytest.importorskip("django")
pytest.importorskip("uvicorn")
SHOP = Path(__file__).parents[2] / "examples/django_shop"
USERS = """
from django.contrib.auth.models import Permission, User
from shop.tasks import mail, send_receipt
User.objects.create_user("customer", password="pw")
User.objects.create_user("clerk", password="pw", is_staff=True)
User.objects.create_user("chief", password="pw", is_staff=True).user_permissions.add(
    Permission.objects.get(codename="operate_dashboard"))
send_receipt.push(order=1)
"""


class Answer(NamedTuple):
    """What the server said."""

    status: int
    headers: Mapping[str, str]
    text: str


class Shop:
    """The example project, served by uvicorn."""

    def __init__(self, folder: Path) -> None:
        home = folder / "shop"
        shutil.copytree(SHOP, home, ignore=shutil.ignore_patterns("__pycache__", "*.db"))
        left = {key: value for key, value in os.environ.items() if not key.startswith(("REGIMENT", "DJANGO"))}
        self.home, self.variables = home, {**left, "SHOP_FOLDER": str(folder), "XDG_RUNTIME_DIR": str(folder)}
        self.manage("migrate", "-v", "0")
        self.manage("shell", "-v", "0", "-c", USERS)
        self.port, self.log = servers.free_port(), folder / "server.log"
        words = ["-m", "uvicorn", "project.asgi:application", "--port", str(self.port)]
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, *words], cwd=home, env=self.variables, stdout=out, stderr=out
            )
        eventually(lambda: b"Uvicorn running" in self.log.read_bytes(), 60, self.log.read_text)

    def manage(self, *words: str) -> str:
        told = subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=self.home,
            env=self.variables,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert told.returncode == 0, told.stderr
        return told.stdout + told.stderr


class Browser:
    """A client that keeps its cookies."""

    def __init__(self, shop: Shop, user: str | None = None) -> None:
        self.port, self.cookies = shop.port, dict[str, str]()
        if user is not None:
            page = self.ask("/admin/login/")
            token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
            assert token is not None
            form = {"username": user, "password": "pw", "csrfmiddlewaretoken": token[1], "next": "/regiment/"}
            self.first = self.ask("/admin/login/", form)

    def ask(self, path: str, form: Mapping[str, Any] | None = None, **headers: str) -> Answer:
        """GET, or POST a form; names of headers have _ for -."""
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        body = None
        if form is not None:
            body, sent["Content-Type"] = urlencode(form), "application/x-www-form-urlencoded"
        link.request("GET" if form is None else "POST", path, body, sent)
        answer = link.getresponse()
        text = answer.read().decode()
        for name, value in answer.getheaders():
            if name.lower() == "set-cookie":
                self.cookies |= {key: one.value for key, one in SimpleCookie(value).items()}
        link.close()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, text)

    def token(self) -> str:
        """What the forms of the page of a queue carry."""
        found = re.search(r'name="token" value="(\w+)"', self.ask("/regiment/queue?name=mail").text)
        assert found is not None
        return found[1]

    def pause(self, token: str, **headers: str) -> Answer:
        return self.ask("/regiment/act/pause", {"queue": "mail", "token": token}, **headers)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    made = Shop(tmp_path_factory.mktemp("shop"))
    yield made
    made.process.terminate()
    made.process.wait(30)


def test_without_a_login_one_is_sent_to_djangos_and_comes_back(shop: Shop) -> None:
    stranger = Browser(shop)
    answer = stranger.ask("/regiment/queue?name=mail")
    assert (answer.status, answer.headers["location"]) == (302, "/admin/login/?next=/regiment/queue%3Fname%3Dmail")
    assert stranger.ask("/regiment").headers["location"] == "/regiment/"
    clerk = Browser(shop, "clerk")
    assert (clerk.first.status, clerk.first.headers["location"]) == (302, "/regiment/")


def test_a_form_without_a_login_changes_nothing(shop: Shop) -> None:
    answer = Browser(shop).pause(Browser(shop, "chief").token())
    assert (answer.status, answer.text) == (403, "You are not signed in, and nothing was changed\n")


def test_a_user_who_is_not_staff_is_refused_in_words(shop: Shop) -> None:
    client = Browser(shop)
    client.cookies["sessionid"] = session_of(shop, "customer")
    answer = client.ask("/regiment/")
    assert (answer.status, answer.text) == (403, "customer may not see this page; it is for staff\n")


def session_of(shop: Shop, user: str) -> str:
    """The session of a user who has signed in elsewhere in the project."""
    code = (
        "from django.test import Client; from django.contrib.auth.models import User; c = Client();"
        f"c.force_login(User.objects.get(username={user!r})); print('session', c.cookies['sessionid'].value)"
    )
    found = re.search(r"session (\w+)", shop.manage("shell", "-v", "0", "-c", code))
    assert found is not None
    return found[1]


def test_staff_looks_and_may_not_act(shop: Shop) -> None:
    clerk = Browser(shop, "clerk")
    page = clerk.ask("/regiment/queue?name=mail")
    assert (
        page.status == 200
        and "send_receipt" in page.text
        and "frame-ancestors" in page.headers["content-security-policy"]
    )
    style = re.search(r'href="([^"]+\.css)"', page.text)
    assert style is not None and clerk.ask(style[1]).status == 200
    token = Browser(shop, "chief").token()
    assert "Only an operator may do that" in clerk.pause(token).text


def test_who_has_the_permission_acts_by_forms_of_the_own_login_alone(shop: Shop) -> None:
    chief = Browser(shop, "chief")
    token = chief.token()
    assert chief.pause("wrong").status == 403
    assert chief.pause(Browser(shop, "chief").token()).status == 403  # of another login
    assert chief.pause(token, Origin="http://evil.example").status == 403
    assert chief.pause(token, Sec_Fetch_Site="cross-site").status == 403
    assert "send_receipt" in chief.ask("/regiment/queue?name=mail").text
    done = chief.pause(token, Origin=f"http://127.0.0.1:{shop.port}")
    assert done.status == 200, done.text
    assert "dashboard from chief at 127.0.0.1" in shop.manage("regiment", "audit")


def test_after_the_logout_the_dashboard_is_closed_again(shop: Shop) -> None:
    clerk = Browser(shop, "clerk")
    assert clerk.ask("/regiment/").status == 200
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', clerk.ask("/admin/").text)
    assert token is not None
    kept = dict(clerk.cookies)
    clerk.ask("/admin/logout/", {"csrfmiddlewaretoken": token[1]})
    clerk.cookies = kept
    assert clerk.ask("/regiment/").status == 302


def test_the_admin_leads_to_it(shop: Shop) -> None:
    clerk = Browser(shop, "clerk")
    page = clerk.ask("/admin/").text
    assert '/admin/regiment_django/dashboard/"' in page
    style = re.search(r'href="(/static/[^"]+\.css)"', page)
    assert style is not None and clerk.ask(style[1]).status == 200
    answer = clerk.ask("/admin/regiment_django/dashboard/")
    assert (answer.status, answer.headers["location"]) == (302, "/regiment/")
    assert clerk.ask("/admin/regiment_django/dashboard/add/").status == 403


def test_all_else_is_the_project_itself(shop: Shop) -> None:
    client = Browser(shop)
    assert client.ask("/orders/7/").status == 404
    assert client.ask("/regimental/").status == 404
    assert shop.process.poll() is None
