"""A dashboard of a real store, served as people serve it; and a real browser before it."""

from __future__ import annotations

import http.client
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import pytest

from harness import servers
from harness.store import connector
from regiment.contracts import Dead, Terms
from regiment.queue import Queue

SECRETS = {"admin": "an-admin-knows-this", "operator": "an-operator-knows-this", "viewer": "a-viewer-knows-this"}
NASTY = "<script>document.title='got in'</script>"


class Answer(NamedTuple):
    """What a server said."""

    status: int
    headers: Mapping[str, str]
    text: str


class Served:
    """One `regiment dashboard`, and a client that keeps its cookie."""

    def __init__(self, url: str, folder: Path, *more: str) -> None:
        self.url, self.port = url, servers.free_port()
        words = ["dashboard", "--connector", url, "--listen", f"127.0.0.1:{self.port}", *more]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "regiment", *words],
            cwd=folder,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        )
        assert self.process.stderr is not None
        said = [self.process.stderr.readline() for _ in range(2)]
        assert said[1].startswith(f"serving http://127.0.0.1:{self.port}"), "".join(said) + self.process.stderr.read()
        self.cookie = ""

    def ask(self, path: str, form: Mapping[str, Any] | None = None, **headers: str) -> Answer:
        """GET, or POST a form; names of headers have _ for -."""
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        sent = {"Cookie": self.cookie, **{name.replace("_", "-"): value for name, value in headers.items()}}
        body = None
        if form is not None:
            body, sent["Content-Type"] = urlencode(form, doseq=True), "application/x-www-form-urlencoded"
        link.request("GET" if form is None else "POST", path, body, sent)
        answer = link.getresponse()
        text = answer.read().decode()
        found = {name.lower(): value for name, value in answer.getheaders()}
        if "set-cookie" in found:
            self.cookie = found["set-cookie"].partition(";")[0]
        link.close()
        return Answer(answer.status, found, text)

    def token(self, path: str = "/queue?name=mail") -> str:
        """The token that forms of this session carry."""
        found = re.search(r'name="token" value="(\w+)"', self.ask(path).text)
        assert found is not None
        return found[1]

    def send(self, path: str, form: Mapping[str, Any], page: str = "/queue?name=mail") -> Answer:
        """POST a form as a browser does: with the token of a page that was loaded for it."""
        return self.ask(path, {**form, "token": self.token(page)})

    def sign_in(self, role: str) -> Answer:
        return self.ask("/sign-in", {"token": self.token("/sign-in"), "key": SECRETS[role], "back": "/dead"})

    def counts(self) -> Any:
        store = connector(self.url, "look")
        try:
            return store.counts("mail")
        finally:
            store.close()


def fill(url: str, ready: int = 3, dead: int = 4) -> None:
    """Tasks that wait, and letters of two groups, with what could do harm in every place that a user can fill."""
    queue = Queue("mail", connector=url)
    outlet = queue.options(name="send", headers={"from": NASTY})
    for number in range(dead):
        outlet.push(to=NASTY, number=number, password="hunter2")
    store, name = connector(url, "lease"), os.urandom(8).hex()
    store.join("mail", name, Terms())
    taken = store.exchange("mail", name, 1, 1, [], dead, 1 << 20)
    reasons = [
        b'{"kind": "failure", "error_type": "%b", "error": "%b", "name": "send"}'
        % (b"ValueError" if n % 2 else b"KeyError", NASTY.encode())
        for n in range(dead)
    ]
    letters = [
        Dead(one.receipt, f"t{one.receipt}", reason) for one, reason in zip(taken.deliveries, reasons, strict=True)
    ]
    store.exchange("mail", name, 2, 100, letters, 0, 1 << 20)
    store.release("mail", name, (), {}, close=True)
    store.close()
    for number in range(ready):
        outlet.push(to=NASTY, number=number, password="hunter2")


@pytest.fixture(params=["sqlite", "redis"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A store with something in it."""
    if request.param == "redis":
        with servers.address() as found:
            fill(found)
            yield found
        return
    found = f"sqlite:///{tmp_path}/q.db"
    fill(found)
    yield found


@pytest.fixture
def file(tmp_path: Path) -> str:
    """An embedded store with something in it."""
    found = f"sqlite:///{tmp_path}/q.db"
    fill(found)
    return found


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Any]:
    """Serves a store, with more options; each ends with exit code 0."""
    running: list[Served] = []

    def started(url: str, *more: str) -> Served:
        running.append(Served(url, tmp_path, *more))
        return running[-1]

    yield started
    for one in running:
        one.process.terminate()
        assert one.process.wait(20) == 0, one.process.stderr and one.process.stderr.read()


@pytest.fixture
def with_tokens(serve: Any, file: str, tmp_path: Path) -> Served:
    """A dashboard that wants people to sign in."""
    more = []
    for role, secret in SECRETS.items():
        (tmp_path / role).write_text(secret + "\n")
        more += [f"--{role}-token-file", str(tmp_path / role)]
    served: Served = serve(file, *more)
    return served


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """Debian's Chromium. Without it: a loud skip at home, a failure where CI=true.

    Not for a whole session: while Playwright is there, this thread has a running event loop, which other tests would meet.
    """
    program = shutil.which("chromium")
    if program is None:
        why = "Chromium (Debian's package chromium) is not here: no page was looked at by a browser"
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(why)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser
        browser.close()
