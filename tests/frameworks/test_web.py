"""The examples of web frameworks over HTTP, their tasks run by `capture`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from regiment_testing import capture

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def example(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    yield __import__(request.param)
    del sys.modules[request.param]


@pytest.mark.parametrize("example", ["web_fastapi"], indirect=True)
def test_fastapi_reaches_the_store_in_its_lifespan_and_pushes_with_the_headers_of_the_request(
    example: ModuleType,
) -> None:
    from fastapi.testclient import TestClient

    with capture(example.sums) as queue, TestClient(example.app) as client:
        started = client.post("/sums", json=[1, 2])
        assert started.status_code == 202 and queue.pushed[0].task.headers == {"by": "fastapi"}
        assert client.get(f"/sums/{started.json()['id']}").json() == {"state": "waiting"}
        queue.drain()
        assert client.get(f"/sums/{started.json()['id']}?wait=1").json() == {"state": "success", "result": 3}
        assert client.post("/sums", json="no list").status_code == 422 and len(queue.pushed) == 1


@pytest.mark.parametrize("example", ["web_flask"], indirect=True)
def test_flask_tears_the_context_of_a_task_down_however_it_ended(example: ModuleType) -> None:
    from flask import current_app

    with capture(example.mail) as queue:
        client = example.app.test_client()
        before = example.app.extensions.get("torn", 0)
        started = client.post("/letters", json={"to": "ada@example.org"})
        example.send.push(to=[])
        queue.drain()
        assert example.app.extensions["torn"] == before + 3, "of the request and of two tasks"
        assert not current_app
        assert client.get(f"/letters/{started.get_json()['id']}").get_json() == {
            "sent": "from shop@example.org to ada@example.org"
        }
        queue.assert_none_dead()
