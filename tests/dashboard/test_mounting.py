"""The pages inside of other applications, under a path of theirs, served as those are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dashboard.conftest import SECRETS, Served
from harness import servers
from harness.wait import eventually
from regiment.errors import ConfigError
from regiment_dashboard import mounted

PAGES = f"mounted('STORE', hosts=[], operator_token='{SECRETS['operator']}', viewer_token='{SECRETS['viewer']}')"
FRAMEWORKS = {
    "starlette": f"""
from regiment_dashboard import mounted
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
app = Starlette(routes=[Mount("/x", {PAGES}), Route("/", lambda _: PlainTextResponse("theirs"))])
""",
    "fastapi": f"""
from regiment_dashboard import mounted
from fastapi import FastAPI
from fastapi.responses import PlainTextResponse
app = FastAPI()
app.mount("/x", {PAGES})
@app.get("/", response_class=PlainTextResponse)
def theirs(): return "theirs"
""",
    "django": f"""
from regiment_dashboard import mounted
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpResponse
from django.urls import path
from starlette.applications import Starlette
from starlette.routing import Mount
settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="x")
urlpatterns = [path("", lambda _: HttpResponse("theirs"))]
app = Starlette(routes=[Mount("/x", {PAGES}), Mount("/", get_asgi_application())])
""",
}


class Mounted(Served):
    """The application of somebody else, with the pages in it."""

    def __init__(self, source: str, folder: Path, *options: str) -> None:
        (folder / "theirs.py").write_text(source)
        self.url, self.port, self.cookie = "", servers.free_port(), ""
        words = ["-m", "uvicorn", "theirs:app", "--port", str(self.port), "--log-level", "warning", *options]
        self.process = subprocess.Popen([sys.executable, *words], cwd=folder)
        eventually(self.up, 60, "that it serves")

    def up(self) -> bool:
        try:
            return self.ask("/").text == "theirs"
        except OSError:
            return False


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_people_sign_in_look_and_act_under_the_path_of_the_application(
    framework: str, file: str, tmp_path: Path
) -> None:
    app = Mounted(FRAMEWORKS[framework].replace("STORE", file), tmp_path)
    try:
        stranger = app.ask("/x/queue?name=mail")
        assert (stranger.status, stranger.headers["location"]) == (303, "/x/sign-in?back=/queue%3Fname%3Dmail")
        form = {"token": app.token("/x/sign-in"), "key": SECRETS["operator"], "back": "/queue?name=mail"}
        answer = app.ask("/x/sign-in", form)
        assert (answer.status, answer.headers["location"]) == (303, "/x/queue?name=mail")
        for path in (
            "/",
            "/workers",
            "/dead",
            "/group?queue=mail",
            "/letter?queue=mail&id=t1",
            "/schedules",
            "/limits",
        ):
            page = app.ask(f"/x{path}")
            assert page.status == 200, path
            links = [word.split('"')[0] for word in page.text.replace("action=", "href=").split('href="')[1:]]
            assert links and all(link.startswith(("/x/", "#main")) for link in links), (path, links)
            assert "default-src 'none'" in page.headers["content-security-policy"]
        assert ">mail</a>" in app.ask("/x/").text and app.ask("/x/static/style.css").status == 200
        done = app.ask("/x/act/pause", {"token": app.token("/x/queue?name=mail"), "queue": "mail"})
        assert "is paused" in done.text and 'href="/x/queue?name=mail">Back' in done.text
        assert app.ask("/").text == "theirs"
    finally:
        app.process.terminate()
        app.process.wait(20)


def test_a_proxy_that_takes_its_prefix_off_leads_people_to_the_page_that_they_wanted(
    serve: Any, file: str, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text(SECRETS["operator"])
    served: Served = serve(file, "--prefix", "/queues", "--operator-token-file", str(tmp_path / "secret"))
    stranger = served.ask("/workers")
    assert stranger.headers["location"] == "/queues/sign-in?back=/workers"
    form = {"token": served.token("/sign-in"), "key": SECRETS["operator"], "back": "/workers"}
    assert served.ask("/sign-in", form).headers["location"] == "/queues/workers"
    assert 'href="/queues/workers" aria-current="page"' in served.ask("/workers").text


def test_what_would_be_open_is_refused_in_words() -> None:
    with pytest.raises(
        ConfigError, match="nobody would have to sign in; expected admin_token=, operator_token= or viewer_token="
    ):
        mounted("memory://mounted", hosts=[])
    with pytest.raises(ConfigError, match="viewer_token is 'short'; expected a text of 16 characters at least"):
        mounted("memory://mounted", hosts=[], viewer_token="short")
    with pytest.raises(ConfigError, match=r"hosts is 'shop\.example'; expected a list of names"):
        mounted("memory://mounted", hosts="shop.example", viewer_token="a-viewer-knows-this")
