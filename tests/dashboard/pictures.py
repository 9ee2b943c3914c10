"""`make pictures`: every page of the dashboard in both color schemes and two widths, and the same as one sheet to look through; and
`dashboard.png`, which stands in docs.
"""

from __future__ import annotations

import contextlib
import random
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).parents[1]))

from dashboard.conftest import Served
from dashboard.full import PAGES, fill_all
from harness.store import connector
from regiment.contracts import OUTCOMES, Done, Tallied, Terms

WIDTHS = (1280, 390)
DOCS = {"width": 1180, "height": 760}
"""Size of the picture in docs."""
DAY = {"mail": 9000, "reports": 2000, "crawl": 60}
"""Queue -> about how many of its tasks end in an hour."""


def remember(url: str) -> None:
    """A day of history, as if it had been told then."""
    chance, now, number = random.Random(7), time.time(), 0
    keep: Any = connector(url, "keep")
    with contextlib.closing(keep):
        for ago in [*range(24 * 60, 60, -60), *range(60, -1, -1)]:
            busy = 1.0 if ago < 12 * 60 else 0.25
            for queue, hour in DAY.items():
                done = int(hour * busy * chance.uniform(0.5, 1.2) / (1 if ago > 60 else 60))
                counts = dict.fromkeys(OUTCOMES, 0) | {"success": done}
                counts["failure"] = int(done * max(0.0, chance.gauss(0.02, 0.04))) if queue != "crawl" else 0
                number += 1
                with patch("time.time", return_value=now - 60 * ago):
                    keep.record(
                        queue, "pictures", number, [Tallied("send", [counts[name] for name in OUTCOMES], 40 * done)]
                    )


def work(url: str, seconds: float) -> None:
    """Tasks come and go."""
    chance, turn, base = random.Random(5), 1, 1
    store: Any = connector(url, "lease")
    with contextlib.closing(store):
        store.join("mail", "web1.4100.0", Terms())
        until, settled = time.monotonic() + seconds, list[Done]()
        while time.monotonic() < until:
            store.push("mail", [b"x"] * chance.randint(0, 9), priority=9, token=f"p{turn}")
            taken = store.exchange("mail", "web1.4100.0", turn, base, settled, chance.randint(0, 8), 1 << 20).deliveries
            settled = [Done(one.receipt, one.receipt) for one in taken]
            turn, base = turn + 1, base + len(taken)
            time.sleep(0.5)
        store.release("mail", "web1.4100.0", [(one.first, one.last) for one in settled], {}, close=True)


def main(folder: Path) -> None:
    """Write the pictures and `index.html` into a folder."""
    from playwright.sync_api import sync_playwright

    folder.mkdir(parents=True, exist_ok=True)
    folder = folder.resolve()
    with tempfile.TemporaryDirectory() as place, contextlib.chdir(place), sync_playwright() as play:
        url = "sqlite:///q.db"
        fill_all(url)
        remember(url)
        served = Served(url, Path(place))
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        made = []
        try:
            page = browser.new_page(color_scheme="light", viewport=DOCS)
            page.goto(f"http://127.0.0.1:{served.port}/")
            work(url, 20)
            page.evaluate("document.querySelector('.where').textContent = 'redis://db1:6379/0'")
            page.screenshot(path=folder / "dashboard.png")
            for scheme in ("light", "dark"):
                for width in WIDTHS:
                    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 800})
                    page = context.new_page()
                    for path in PAGES:
                        page.goto(f"http://127.0.0.1:{served.port}{path}")
                        if path == "/":
                            time.sleep(2.5)  # so that its curves have begun
                        name = re.sub(r"\W+", "-", path.partition("?")[0]).strip("-") or "overview"
                        if "id=" in path or "state=" in path:
                            name += "-one"
                        made.append(f"{name}-{scheme}-{width}.png")
                        page.screenshot(path=folder / made[-1], full_page=True)
                    context.close()
        finally:
            browser.close()
            served.process.terminate()
            served.process.wait(20)
    sheet = "".join(f'<figure><figcaption>{one}</figcaption><img src="{one}" width="480"></figure>' for one in made)
    (folder / "index.html").write_text(f"<!doctype html><title>Pictures</title>{sheet}")
    print(f"{len(made)} pictures in {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
