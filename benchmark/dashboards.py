"""Dashboards side by side in a real browser: the first picture, requests to the store, who may write, what each can do.

    python -m benchmark.dashboards [NAME …]

Prints tables as docs/dashboard.md has them. Each page is started as its own documentation says, on a Redis of its own with ten tasks,
half of them failed, and one worker. The first picture is counted from the start of the process to the moment in which a text
from the store can be seen; each start has one of regiment beside it, and the ratio is what counts. Needs Chromium (Debian's package).
"""

from __future__ import annotations

import argparse
import http.client
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import redis
from playwright.sync_api import Browser, BrowserContext, Error, Page, sync_playwright

from benchmark.measure import venvs
from benchmark.measure.places import Place
from benchmark.measure.places import place as placed
from benchmark.peers.pages import CAN, PAGES
from benchmark.peers.pages import Page as Peer
from benchmark.peers.system import System
from benchmark.schedules import running
from harness import servers

APPS = Path(__file__).parent / "peers" / "viewing"
FIRST, WINDOW, SETTLED = 60.0, 10.0, 3.0
"""Seconds until the first picture has to be there, in which requests are counted, and before that."""
VIEWERS = (0, 1, 20)
FOREIGN = "http://elsewhere.example"
SEND = """async ([method, path, form, field]) => {
    const body = new URLSearchParams(form), token = document.querySelector(`input[name="${field}"]`);
    if (token) body.append(field, token.value);
    return (await fetch(path, {method, body})).status;
}"""
"""An act as the page's own scripts do it, with what its forms carry."""


class Found(NamedTuple):
    """What one page has shown."""

    versions: str
    first: list[float]
    """Seconds of each start, and of regiment's start beside each."""
    beside: list[float]
    requests: list[tuple[float, float]]
    """Round trips and commands per second, by VIEWERS."""
    listens: str
    reads: str
    """What a stranger on this host gets."""
    foreign: str
    """What a form of another site does; a page whose name was made to point here; and the page itself."""
    rebound: str
    own: str
    scripts: bool
    """True if it shows the store without scripts."""
    dark: bool
    elsewhere: tuple[str, ...]
    """Other hosts from which it loads something."""


class Shown:
    """A page that is served, of a store with something in it."""

    def __init__(self, peer: Peer, place: Place, environment: Mapping[str, str], bin: Path, log: Path) -> None:
        self.peer, self.place, self.environment, self.bin, self.log = peer, place, dict(environment), bin, log
        self.port = servers.free_port()
        self.origin = f"http://127.0.0.1:{self.port}"
        self.store: Any = redis.Redis.from_url(place.url)

    def open(self, context: BrowserContext, patience: float = FIRST) -> Page:
        """The first page, as soon as it shows what is in the store; TimeoutError if it does not."""
        page, until = context.new_page(), time.monotonic() + patience
        while True:
            try:
                page.goto(self.origin + self.peer.path, wait_until="commit")
                break
            except Error:
                if time.monotonic() > until:
                    raise TimeoutError(f"{self.peer.name} does not answer; see {self.log}") from None
                time.sleep(0.02)
        if self.peer.person[0] and page.url.partition("?")[0].endswith("login/"):
            page.fill("[name=username]", self.peer.person[0])
            page.fill("[name=password]", self.peer.person[1])
            page.click("[type=submit]")
        self.wait(page, patience)
        return page

    def up(self) -> None:
        """Wait until the port is open; nobody looks."""
        until = time.monotonic() + FIRST
        while not listens(self.port):
            if time.monotonic() > until:
                raise TimeoutError(f"{self.peer.name} does not listen; see {self.log}")
            time.sleep(0.1)

    def wait(self, page: Page, patience: float) -> None:
        """Until a text from the store can be seen."""
        seen = page.get_by_text(self.peer.shows).locator("visible=true").first
        seen.wait_for(timeout=1000 * patience)

    @contextmanager
    def served(self) -> Iterator[None]:
        line = self.peer.serve(self.bin, self.place.url, self.port)
        with running(line, self.environment, self.place.folder, self.log):
            yield

    def ask(self, method: str, path: str, form: Mapping[str, str], **headers: str) -> int:
        """The status of a request without a browser."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)) as link:
            kind = {"Content-Type": "application/x-www-form-urlencoded"} if method == "POST" else {}
            sent = {**kind, **{name.replace("_", "-"): value for name, value in headers.items()}}
            link.request(method, path, urlencode(form), sent)
            return link.getresponse().status

    def differs(self, before: Any) -> bool:
        """True if the store becomes different within 3 seconds."""
        until = time.monotonic() + 3
        while time.monotonic() < until:
            if self.peer.changed(self.store) != before:
                return True
            time.sleep(0.1)
        return False


def system(peer: Peer) -> System:
    return System(f"page-{peer.app}", "", peer.packages, (), lambda job: [])


@contextmanager
def filled(peer: Peer, log: Path) -> Iterator[Shown]:
    """A store of its own with ten tasks that have run, and the worker that ran them."""
    bin = venvs.programs(system(peer))
    with placed("redis") as place, ExitStack() as stack:
        shutil.copytree(APPS, place.folder, dirs_exist_ok=True)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("REGIMENT")}
        environment = {**kept, **peer.env, "PYTHONPATH": str(place.folder), "VIEW_STORE": place.url}
        with open(log, "ab") as out:
            line = [str(bin / "python"), f"view_{peer.app}.py"]
            subprocess.run(line, cwd=place.folder, env=environment, stdout=out, stderr=out, check=True)
        if peer.worker is not None:
            stack.enter_context(running(peer.worker(bin, place.url), environment, place.folder, log))
            time.sleep(SETTLED)
        shown = Shown(peer, place, environment, bin, log)
        stack.callback(shown.store.close)
        yield shown


def first(shown: Shown, browser: Browser) -> float:
    """Seconds from the start of its process to its first picture."""
    with closing(browser.new_context()) as context:
        begun = time.monotonic()
        with shown.served():
            shown.open(context)
            return time.monotonic() - begun


def rates(shown: Shown, browser: Browser) -> list[tuple[float, float]]:
    """Round trips and commands per second at the store, by number of viewers; each has a browser profile of its own."""
    found = []
    with ExitStack() as stack:
        viewers = 0
        for wanted in VIEWERS:
            while viewers < wanted:
                shown.open(stack.enter_context(closing(browser.new_context())))
                viewers += 1
            time.sleep(SETTLED)
            before, begun = shown.place.counters(), time.monotonic()
            pause = browser.new_context()  # playwright's own loop goes on while it waits
            pause.new_page().wait_for_timeout(1000 * WINDOW)
            pause.close()
            after, took = shown.place.counters(), time.monotonic() - begun
            found.append(((after["trips"] - before["trips"]) / took, (after["commands"] - before["commands"]) / took))
    return found


def written(shown: Shown, browser: Browser) -> tuple[str, str, str]:
    """Whether a form of another site, a name that was made to point here, and the page itself change something."""
    peer, said = shown.peer, []
    with closing(browser.new_context()) as context:
        page = shown.open(context)
        cookies = "; ".join(f"{one.get('name')}={one.get('value')}" for one in context.cookies(shown.origin))
        for number, way in enumerate(("form", "rebound", "own")):
            before = peer.changed(shown.store)
            method, path, form = peer.act(shown.store, number)
            if way == "form":
                if method != "POST":
                    said.append(f"not with {method}")
                    continue
                status = submitted(context, shown.origin + path, form)
            elif way == "rebound":
                name = FOREIGN.removeprefix("http://")
                headers = {"Host": f"{name}:{shown.port}", "Origin": f"{FOREIGN}:{shown.port}"}
                status = shown.ask(method, path, form, **headers, Sec_Fetch_Site="same-origin", Cookie=cookies)
            else:
                page.goto(shown.origin + (peer.own or peer.path))
                status = page.evaluate(SEND, [method, path, dict(form), peer.field])
            said.append(f"{'**changes**' if shown.differs(before) else 'nothing'} ({status})")
    return said[0], said[1], said[2]


def submitted(context: BrowserContext, url: str, form: Mapping[str, str]) -> int:
    """The status that a form gets which another site sends in the same browser."""
    fields = "".join(f'<input name="{name}" value="{value}">' for name, value in form.items())
    body = f'<form method="post" action="{url}">{fields}<button>win</button></form>'
    context.route(f"{FOREIGN}/**", lambda route: route.fulfill(content_type="text/html", body=body))
    page = context.new_page()
    page.goto(FOREIGN + "/")
    with page.expect_response(lambda answer: answer.url == url) as got:
        page.click("button")
    return got.value.status


def listens(port: int) -> str:
    """Where the port is open, from the kernel's table; empty: nowhere."""
    wanted, found = f":{port:04X}", set()
    for file in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(file).read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            if local.endswith(wanted) and state == "0A":
                found.add(set(local.partition(":")[0]) == {"0"})
    return ("every address" if True in found else "this host") if found else ""


def background(page: Page) -> str:
    shade: str = page.evaluate(
        "[document.body, document.documentElement].map(e => getComputedStyle(e).backgroundColor).join()"
    )
    return shade


def looks(shown: Shown, browser: Browser) -> tuple[bool, bool, tuple[str, ...]]:
    """Whether it shows the store without scripts, whether it is dark for who wants that, and from where it loads things."""
    plain = True
    with closing(browser.new_context(java_script_enabled=False)) as context:
        try:
            shown.open(context, 5.0)
        except Error:
            plain = False
    shades, hosts = [], set()
    for scheme in ("light", "dark"):
        with closing(browser.new_context(color_scheme="dark" if scheme == "dark" else "light")) as context:
            context.on("request", lambda request: hosts.add(request.url.split("/")[2]))
            shades.append(background(shown.open(context)))
    return plain, shades[0] != shades[1], tuple(sorted(hosts - {f"127.0.0.1:{shown.port}", ""}))


def measure(peer: Peer, browser: Browser, log: Path, starts: int) -> Found:
    """All of one page; the starts in turns with regiment's."""
    packages = venvs.versions(system(peer), venvs.programs(system(peer)))
    versions = ", ".join(f"{name} {number}" for name, number in packages.items() if name not in ("setuptools", "six"))
    with filled(peer, log) as shown:
        own: list[float] = []
        beside: list[float] = []
        with filled(PAGES[0], log) as other:
            for _ in range(starts):
                own.append(first(shown, browser))
                beside.append(first(other, browser))
        with shown.served():
            shown.up()
            requests = rates(shown, browser)
            stranger = shown.ask("GET", peer.path, {})
            reads = "everything" if stranger == 200 else f"{stranger}"
            looked = looks(shown, browser)
            return Found(versions, own, beside, requests, listens(shown.port), reads, *written(shown, browser), *looked)


def row(name: str, cells: list[str]) -> str:
    return f"| {' | '.join([name, *cells])} |"


def told(peer: Peer, found: Found) -> list[str]:
    """The line of the measured table."""
    ratio = statistics.median(one / other for one, other in zip(found.first, found.beside, strict=True))
    rates = [f"{trips:.1f} ({commands:.1f})" for trips, commands in found.requests]
    return [
        f"{statistics.median(found.first):.1f} s",
        f"{ratio:.2f}",
        *rates,
        found.listens,
        found.reads,
        found.foreign,
        found.rebound,
        found.own,
        "yes" if found.scripts else "no",
        "yes" if found.dark else "no",
        ", ".join(found.elsewhere) or "–",
    ]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmark.dashboards", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="; ".join(one.name for one in PAGES))
    parser.add_argument("--starts", type=int, default=3, help="of each page (default: 3)")
    given = parser.parse_args()
    chromium = shutil.which("chromium")
    if chromium is None:
        parser.error("Chromium (Debian's package chromium) is not here: install it")
    logs = Path(tempfile.mkdtemp(prefix="regiment-bench-pages-"))
    chosen = [one for one in PAGES if not given.names or one.name in given.names]
    versions = []
    print(row("page", [
        "first picture", "beside regiment's", "requests/s: nobody looks", "1 viewer", "20 viewers", "listens on", "a stranger reads",
        "a form of another site", "a name made to point here", "its own page", "without scripts", "dark", "loads from",
    ]))  # fmt: skip
    print("|---" * 14 + "|")
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage"])
        for peer in chosen:
            try:
                found = measure(peer, browser, logs / f"{peer.app}.log", given.starts)
            except Exception as error:
                print(row(peer.name, [f"not tried: {str(error).splitlines()[0]}"]), flush=True)
                continue
            versions.append(found.versions)
            print(row(peer.name, told(peer, found)), flush=True)
        versions.append(f"Chromium {browser.version}")
        browser.close()
    print(f"\n{datetime.now(UTC):%Y-%m-%d}: {'; '.join(dict.fromkeys(versions))}\n")
    print(row("by hand", [one.name for one in chosen]))
    print("|---" * (1 + len(chosen)) + "|")
    for ability in CAN:
        print(row(ability, [one.can.get(ability, "–") for one in chosen]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
