"""The documentation site: every public name and command is in it, nothing in it is broken, and it needs no network."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path

import pytest

import regiment
from regiment.hooks import Specs
from regiment.known import COMMANDS

ROOT = Path(__file__).parents[2]
LOADED = {
    "script": "src",
    "img": "src",
    "source": "src",
    "iframe": "src",
    "object": "data",
    "image": "href",
    "use": "href",
}
"""Element of a page -> the attribute that names what a browser loads for it; of a `link`, all but its canonical address."""
IN_STYLES = re.compile(r"""(?:url\(|@import)\s*["']?\s*((?:https?:)?//[^"')\s]+)""")


class Loads(HTMLParser):
    """Addresses that a browser loads to show a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found = IN_STYLES.findall(text)
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        wanted = LOADED.get(tag) or ("href" if tag == "link" and given.get("rel") != "canonical" else "")
        self.found += [address for address in [given.get(wanted)] if address]


def foreign(site: Path) -> Iterator[str]:
    """What pages and styles load from other hosts."""
    for path in site.rglob("*.html"):
        for address in Loads(path.read_text()).found:
            if re.match(r"(https?:)?//", address):
                yield f"{path.relative_to(site)}: {address}"
    for path in site.rglob("*.css"):
        for address in IN_STYLES.findall(path.read_text()):
            yield f"{path.relative_to(site)}: {address}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` builds it."""
    pytest.importorskip("sphinx", reason="SKIPPED WITHOUT PROOF: pip install -r docs/site/requirements.txt")
    made = tmp_path_factory.mktemp("site")
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "--quiet",
        "--fail-on-warning",
        "--keep-going",
        "-c",
        "docs/site",
        ".",
        made,
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return made


def names(page: Path) -> set[str]:
    """The anchors of a page."""
    return set(re.findall(r'\bid="([^"]+)"', page.read_text()))


@pytest.mark.long
def test_no_page_loads_a_script_a_style_a_font_or_an_image_from_another_host(site: Path) -> None:
    assert len(list(site.rglob("*.html"))) > 60
    assert list(foreign(site)) == []


@pytest.mark.long
def test_each_link_of_the_site_leads_to_a_file_and_an_anchor_that_exist(site: Path) -> None:
    anchors = {page.resolve(): names(page) for page in site.rglob("*.html")}
    broken = []
    for page in anchors:
        for link in re.findall(r'<a\b[^>]*\bhref="([^"]+)"', page.read_text()):
            path, _, anchor = link.partition("#")
            if re.match(r"[a-z+]+:", link):
                continue
            found = (page.parent / path).resolve() if path else page
            if not found.exists() or (anchor and found in anchors and anchor not in anchors[found]):
                broken.append(f"{page.relative_to(site.resolve())}: {link}")
    assert not broken


@pytest.mark.long
def test_the_reference_has_every_public_name_and_every_command(site: Path) -> None:
    reference = site / "docs/reference"
    told = {name for page in reference.glob("*.html") for name in names(page)}
    public = [name for name in regiment.__all__ if not name.startswith("__")]
    assert [name for name in public if not {f"regiment.{name}", f"regiment.errors.{name}"} & told] == []
    assert [
        name for name in vars(Specs) if name.startswith("regiment_") and f"regiment.hooks.Specs.{name}" not in told
    ] == []
    for folder in ROOT.glob("plugins/*/src/*"):
        offered = getattr(import_module(folder.name), "__all__", ())
        assert [name for name in offered if f"{folder.name}.{name}" not in told] == [], folder.name
    page = (reference / "command-line.html").read_text()
    assert [name for name in COMMANDS if f'id="regiment-{name.replace(" ", "-")}"' not in page] == []


def test_the_page_of_names_lists_those_that_are_no_errors() -> None:
    page = (ROOT / "docs/reference/regiment.md").read_text()
    listed = re.findall(r"^\.\. auto\w+:: regiment\.(\w+)$", page, re.MULTILINE)
    raised = {name for name in regiment.__all__ if hasattr(regiment.errors, name)}
    assert set(listed) == set(regiment.__all__) - raised - {"__version__"}


def test_the_check_for_other_hosts_finds_what_a_page_loads(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(
        '<link rel="stylesheet" href="//cdn.example/a.css"><script src="https://cdn.example/a.js"></script>'
        '<img src="own.png"><a href="https://elsewhere.example/">read</a><style>@import "http://f.example/f.css";</style>'
    )
    (tmp_path / "a.css").write_text("@font-face { src: url(https://f.example/f.woff) }")
    assert len(list(foreign(tmp_path))) == 4
