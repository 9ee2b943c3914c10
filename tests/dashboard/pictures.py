"""`make pictures`: every page of the dashboard in both color schemes and two widths, and the same as one sheet to look through."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from dashboard.conftest import Served
from dashboard.full import PAGES, fill_all

WIDTHS = (1280, 390)


def main(folder: Path) -> None:
    """Write the pictures and `index.html` into a folder."""
    from playwright.sync_api import sync_playwright

    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place, sync_playwright() as play:
        url = f"sqlite:///{place}/q.db"
        fill_all(url)
        served = Served(url, Path(place))
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        made = []
        try:
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
