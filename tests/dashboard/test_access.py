"""Each page for everybody: axe finds nothing serious in either color scheme, nothing is said in the console, nothing needs a script."""

from __future__ import annotations

import contextlib
from importlib.resources import files
from typing import Any

import pytest

from dashboard.conftest import Served
from dashboard.full import PAGES, fill_all

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text()
SERIOUS = ("serious", "critical")


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A dashboard of a store in which everything is, served for all of these tests."""
    folder = tmp_path_factory.mktemp("full")
    url = f"sqlite:///{folder}/q.db"
    fill_all(url)
    served = Served(url, folder)
    yield served
    served.process.terminate()
    assert served.process.wait(20) == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing_serious_on_any_page(full: Served, chromium: Any, scheme: str, width: int) -> None:
    size = {"width": width, "height": 900}
    with contextlib.closing(chromium.new_context(color_scheme=scheme, viewport=size)) as context:
        page, said = context.new_page(), list[str]()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        found = []
        for path in PAGES:
            page.goto(f"http://127.0.0.1:{full.port}{path}")
            assert page.locator("h1").count() == 1 and page.title().endswith("regiment"), path
            assert [one for one in said if "404" not in one or path != "/nothing"] == [], path
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (
                f"{path} is wider than its window"
            )
            page.evaluate(AXE)
            for one in page.evaluate("axe.run()")["violations"]:
                if one["impact"] in SERIOUS:
                    found += [
                        f"{path}: {one['id']}: {node['target']} {node['failureSummary']}" for node in one["nodes"]
                    ]
            said.clear()  # axe tries styles of its own, which the policy forbids
        assert found == []


def test_every_page_says_the_same_without_scripts(full: Served, chromium: Any) -> None:
    texts = []
    for scripts in (True, False):
        with contextlib.closing(chromium.new_context(java_script_enabled=scripts)) as context:
            page = context.new_page()
            texts.append({})
            for path in PAGES:
                page.goto(f"http://127.0.0.1:{full.port}{path}")
                texts[-1][path] = [*map(str.strip, page.locator("h1, h2, th[scope=row], button").all_inner_texts())]
    assert texts[0] == texts[1] and all(texts[0].values())
