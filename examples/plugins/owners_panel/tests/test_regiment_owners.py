"""The page, the rule and the reason, as people meet them: in the dashboard that is served, and in the verbs."""

from __future__ import annotations

import http.client
import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from regiment import Queue


def send(number: int) -> None: ...


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Two queues that hold something, of which one has an owner."""
    for name in ("mail", "billing"):
        queue = Queue(name, connector=f"sqlite:///{tmp_path}/queue.db")
        queue.task(send).options(id=f"{name}-1").push(number=1)
    (tmp_path / "owners.toml").write_text('mail = "ada@<shop>"\n')
    return tmp_path


def regiment(place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "regiment", *words]
    command += ["--connector", f"sqlite:///{place}/queue.db"]
    return subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)


@pytest.fixture
def port(place: Path) -> Iterator[int]:
    """A dashboard of the store."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        number: int = free.getsockname()[1]
    command = [sys.executable, "-m", "regiment", "dashboard", "--listen", f"127.0.0.1:{number}"]
    command += ["--connector", f"sqlite:///{place}/queue.db"]
    served = subprocess.Popen(command, cwd=place, stderr=subprocess.PIPE, text=True)
    try:
        assert served.stderr is not None
        said = [served.stderr.readline() for _ in range(2)]
        assert "serving" in said[1], said
        yield number
    finally:
        served.terminate()
        served.wait(30)


def ask(port: int, path: str, form: dict[str, str] | None = None, cookie: str = "") -> tuple[int, str, str]:
    """Status, text and cookie of an answer."""
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"Cookie": cookie, "Content-Type": "application/x-www-form-urlencoded"}
    body = None if form is None else urlencode(form)
    link.request("GET" if form is None else "POST", path, body, headers)
    answer = link.getresponse()
    text, given = answer.read().decode(), answer.getheader("set-cookie", "")
    link.close()
    return answer.status, text, given.partition(";")[0] or cookie


def test_the_page_shows_who_is_asked_and_keeps_a_note(place: Path, port: int) -> None:
    status, page, cookie = ask(port, "/owners")
    assert status == 200 and "ada@&lt;shop&gt;" in page and '<span class="tag">nobody</span>' in page
    assert 'aria-current="page">Owners</a>' in page
    [token, *_] = re.findall(r'name="token" value="(\w+)"', page)
    form = {"token": token, "queue": "mail", "text": "<b>look here"}
    status, said, _ = ask(port, "/owners/note", form, cookie)
    assert status == 200 and "noted for ada@&lt;shop&gt;" in said
    assert ask(port, "/owners/note", {**form, "token": ""}, cookie)[0] == 403
    [act] = json.loads(regiment(place, "audit", "mail", "--json").stdout)["acts"]
    assert (act["what"], act["of"]) == ("owners note", "<b>look here")


def test_doctor_names_the_queues_that_have_no_owner(place: Path) -> None:
    done = regiment(place, "doctor", "--only", "OWN01", "--json")
    [finding] = json.loads(done.stdout)["findings"]
    assert (finding["level"], finding["text"]) == ("warn", "nobody is asked about billing")
    with (place / "owners.toml").open("a") as file:
        file.write('billing = "grace"\n')
    done = regiment(place, "doctor", "--only", "OWN01")
    assert "all is well" in done.stdout, done.stderr


def test_why_says_whom_to_ask(place: Path) -> None:
    assert "ada@<shop> knows more about mail" in regiment(place, "why", "mail-1").stdout
    assert "knows more" not in regiment(place, "why", "billing-1").stdout
