"""Entry points as they are read from the folders of `sys.path`."""

from __future__ import annotations

import sys
import zipfile
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from regiment import installed


def by_the_library(group: str) -> list[tuple[str, str, str, str]]:
    return sorted(
        (one.name, one.value, one.dist.name, one.dist.version)
        for one in entry_points(group=group)
        if one.dist is not None
    )


def distribution(folder: Path, name: str, version: str, points: str, metadata: str = "") -> None:
    place = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    place.mkdir(parents=True)
    (place / "entry_points.txt").write_text(points)
    (place / "METADATA").write_text(
        metadata or f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nName: not this\n"
    )


@pytest.mark.parametrize("group", ["regiment", "console_scripts", "pytest11", "none of the kind"])
def test_what_is_installed_here_is_found_as_the_library_finds_it(group: str) -> None:
    found = sorted(tuple(one) for one in installed.points(group))
    assert found == by_the_library(group)


def test_of_a_distribution_that_is_there_twice_the_first_on_the_path_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    distribution(tmp_path / "a", "two-words", "2.0", "[x]\nnew = m.n:o.p [extra]\n")
    distribution(tmp_path / "b", "Two.Words", "1.0", "[x]\nold = m\n")
    distribution(tmp_path / "b", "other", "1.0", "# said = in a comment\n[y]\nno = m\n[x]\nyes = m\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "a"), str(tmp_path / "b"), "/absent"])
    found = sorted(tuple(one) for one in installed.points("x"))
    assert found == by_the_library("x")
    assert found == [("new", "m.n:o.p [extra]", "two-words", "2.0"), ("yes", "m", "other", "1.0")]


def test_a_point_loads_a_module_or_what_stands_in_one() -> None:
    assert installed.Point("a", "os.path", "", "").load() is __import__("os").path
    assert installed.Point("a", "os:path.join [extra]", "", "").load() is __import__("os").path.join


def test_distributions_in_a_zip_file_are_left_to_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("zipped-1.0.dist-info/entry_points.txt", "[x]\nin_zip = m\n")
        archive.writestr("zipped-1.0.dist-info/METADATA", "Name: zipped\nVersion: 1.0\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "all.zip")])
    assert [tuple(one) for one in installed.points("x")] == [("in_zip", "m", "zipped", "1.0")]


@pytest.mark.parametrize("zipped", [False, True], ids=["read here", "asked of the library"])
def test_what_lies_in_the_current_folder_or_the_applications_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zipped: bool
) -> None:
    here, application, good = tmp_path / "here", tmp_path / "application", tmp_path / "good"
    for folder, name in ((here, "planted"), (application, "vendored"), (good, "installed")):
        distribution(folder, name, "1.0", f"[x]\n{name} = m\n")
    paths = ["", str(here), str(application), str(good)]
    if zipped:
        with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
            archive.writestr("none.py", "")
        paths.append(str(tmp_path / "all.zip"))
    monkeypatch.chdir(here)
    monkeypatch.setattr(sys, "path", paths)
    monkeypatch.setattr(installed, "_applications", set())
    installed.leave_out(str(application))
    assert [one.name for one in installed.points("x")] == ["installed"]


def test_an_installation_in_which_somebody_stands_is_one_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = installed.points("regiment")
    for folder in [path for path in sys.path if Path(path).is_dir()]:
        if list(Path(folder).glob("regiment*.dist-info")):
            monkeypatch.chdir(folder)
            assert installed.points("regiment") == before
