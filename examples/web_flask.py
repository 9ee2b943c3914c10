"""Flask: a view that pushes, tasks that run in the application's context, and what a store that is away answers.

    python examples/web_flask.py

starts a worker, and then is its own client. By hand: flask --app web_flask run, and beside it regiment run web_flask:mail.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flask import Flask, current_app, request

from regiment import Queue, StoreUnavailable, Task
from regiment.hooks import hookimpl
from regiment_results import ResultQueue, Results

app = Flask(__name__)
app.config["SENDER"] = "shop@example.org"


class InFlask:
    """A plugin of a queue: each task finds `current_app`, and what is torn down with a context is, after each."""

    @staticmethod
    @hookimpl
    def regiment_prepare(task: Task) -> Callable[[], object]:
        context = app.app_context()
        context.push()
        return context.pop


mail = ResultQueue("mail", plugins=[Results(ttl=600), InFlask])
away = Queue("away", connector="redis://127.0.0.1:1/0", push_timeout=0.2)


@mail.task
def send(to: str) -> str:
    return f"from {current_app.config['SENDER']} to {to}"


@away.task
def never() -> None: ...


@app.teardown_appcontext
def tear_down(error: BaseException | None) -> None:
    """What a request or a task has opened is closed here: a session of a database, say."""
    app.extensions["torn"] = app.extensions.get("torn", 0) + 1


@app.errorhandler(StoreUnavailable)
def unavailable(error: StoreUnavailable) -> tuple[dict[str, Any], int, dict[str, str]]:
    """A store that is away is no error of the request: it may be sent again."""
    return {"error": "try again", "id": error.id}, 503, {"Retry-After": "2"}


@app.post("/letters")
def write() -> tuple[dict[str, str], int]:
    return {"id": send.push(to=request.get_json()["to"]).id}, 202


@app.get("/letters/<id>")
def look(id: str) -> dict[str, str]:
    return {"sent": mail.handle(id).result(timeout=30)}


@app.post("/away")
def to_a_store_that_is_away() -> tuple[dict[str, str], int]:
    return {"id": never.push().id}, 202


def main() -> None:
    here = str(Path(__file__).parent)
    worker = subprocess.Popen([sys.executable, "-m", "regiment", "run", "web_flask:mail", "--app-dir", here])
    try:
        client = app.test_client()
        started = client.post("/letters", json={"to": "ada@example.org"}).get_json()
        print("sent:", client.get(f"/letters/{started['id']}").get_json()["sent"])
        answer = client.post("/away")
        print("away:", answer.status_code, "retry after", answer.headers["retry-after"])
    finally:
        worker.terminate()
        worker.wait()


if __name__ == "__main__":
    main()
