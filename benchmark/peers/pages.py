"""The dashboards that `python -m benchmark.dashboards` opens: how each is started, by its own documentation, and what it can do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from harness.store import connector

Act = tuple[str, str, Mapping[str, str]]
"""Method, path, and fields of a form."""
CAN = (
    "overview of queues",
    "one task's story",
    "failures grouped",
    "replay one",
    "replay a group",
    "cancel or delete one",
    "pause a queue",
    "history over a day",
    "schedules",
    "flows",
)
"""What was looked for by hand, on its pages."""


class Page(NamedTuple):
    """One dashboard. `store` is a client of its Redis, in what acts and what is looked at afterwards."""

    name: str
    app: str
    """Its program is `view_<app>.py`."""
    packages: tuple[str, ...]
    serve: Callable[[Path, str, int], list[str]]
    """From the folder of programs, the URL of the store and the port."""
    worker: Callable[[Path, str], list[str]] | None
    """None: the page is served by a worker."""
    path: str
    """The first page that shows the store."""
    shows: str
    """A text that stands there once it has been read from the store."""
    act: Callable[[Any, int], Act]
    """The n-th act, that changes something each time: it is done by the page itself, and tried by another."""
    changed: Callable[[Any], Any]
    """What is different after it."""
    can: Mapping[str, str]
    """By CAN; what is missing here, it cannot."""
    own: str = ""
    """The page that holds the form of the act, if it is not the first one; and `field`, what the form has to carry."""
    field: str = ""
    env: Mapping[str, str] = {}
    person: tuple[str, str] = ("", "")
    """Who signs in, where one has to."""


def _keys(pattern: str) -> Callable[[Any], Any]:
    """The values of all keys of that name that are plain texts, and the names of the others."""

    def found(store: Any) -> Any:
        names = sorted(store.scan_iter(pattern))
        return [(name, store.get(name) if store.type(name) == b"string" else None) for name in names]

    return found


def _first(names: list[Any]) -> str:
    """The end of the first key, which is a name."""
    return names[0].decode().rpartition(":")[2] if names else "none"


def _failed_saq(store: Any, n: int) -> Act:
    found = [name for name in sorted(store.scan_iter("saq:job:mail:*")) if b'"failed"' in (store.get(name) or b"")]
    return "POST", f"/api/queues/mail/jobs/{_first(found[n:])}/retry", {}


def _waiting_streaq(store: Any, n: int) -> Act:
    waiting = [name for key in store.scan_iter("streaq:mail:queues:delayed:*") for name in store.zrange(key, 0, -1)]
    return "DELETE", f"/task/{_first(waiting[n:])}", {}


def _paused(store: Any) -> Any:
    """Whether regiment's queue is paused."""
    given = store.connection_pool.connection_kwargs
    with closing(connector(f"redis://{given['host']}:{given['port']}/0", "look")) as look:
        return look.counts("mail").paused


def _flower(name: str, env: Mapping[str, str]) -> Page:
    return Page(
        name,
        "flower",
        ("flower", "celery[redis]", "setuptools"),
        lambda bin, url, port: [f"{bin}/celery", "-A", "view_flower", "flower", f"--port={port}"],
        lambda bin, url: [f"{bin}/celery", "-A", "view_flower", "worker", "-E", "-c", "1", "-l", "WARNING"],
        "/",
        "celery@",
        lambda store, n: ("POST", "/api/task/send-task/send", {}),
        _keys("celery-task-meta-*"),
        {
            "overview of queues": "length only",
            "one task's story": "since Flower's start",
            "cancel or delete one": "yes" if env else "button refused",
        },
        env=env,
    )


PAGES = [
    Page(
        "regiment",
        "regiment",
        (),
        lambda bin, url, port: [f"{bin}/regiment", "dashboard", "--connector", url, "--listen", f"127.0.0.1:{port}"],
        lambda bin, url: [f"{bin}/regiment", "run", "view_regiment"],
        "/",
        "mail",
        lambda store, n: ("POST", "/act/pause", {"queue": "mail"}),
        _paused,
        {
            "overview of queues": "yes",
            "one task's story": "dead letters",
            "failures grouped": "yes",
            "replay one": "yes",
            "replay a group": "yes",
            "cancel or delete one": "dead letters, flows",
            "pause a queue": "yes",
            "history over a day": "yes",
            "schedules": "yes",
            "flows": "yes",
        },
        own="/queue?name=mail",
        field="token",
    ),
    _flower("flower", {}),
    _flower("flower, its API open", {"FLOWER_UNAUTHENTICATED_API": "true"}),
    Page(
        "rq-dashboard",
        "rq",
        ("rq-dashboard", "rq", "six"),  # it imports six, and does not ask for it
        lambda bin, url, port: [f"{bin}/rq-dashboard", "-u", url, "-p", str(port)],
        lambda bin, url: [f"{bin}/rq", "worker", "mail", "-q", "-u", url],
        "/",
        "mail",
        lambda store, n: ("POST", f"/job/{(store.zrange('rq:failed:mail', 0, 0) or [b'none'])[0].decode()}/delete", {}),
        lambda store: store.zcard("rq:failed:mail"),
        {
            "overview of queues": "yes",
            "one task's story": "yes",
            "replay one": "yes",
            "replay a group": "all failed of a queue",
            "cancel or delete one": "yes",
            "schedules": "scheduled jobs",
        },
    ),
    Page(
        "huey",
        "huey",
        ("huey", "redis", "django", "peewee"),
        lambda bin, url, port: [f"{bin}/python", "view_huey.py", "runserver", "--noreload", f"127.0.0.1:{port}"],
        lambda bin, url: [f"{bin}/python", "view_huey.py", "run_huey"],
        "/admin/hueystats/hueydashboard/",
        "send",
        lambda store, n: (
            "POST",
            "/admin/hueystats/hueydashboard/action/",
            {"op": "revoke_id", "id": f"00000000-0000-0000-0000-00000000000{n}"},
        ),
        lambda store: store.hlen("huey.results.mail"),
        {
            "overview of queues": "one queue",
            "one task's story": "its events",
            "cancel or delete one": "yes",
            "pause a queue": "a kind of task",
            "history over a day": "24 h sums, bars of 60 min",
            "schedules": "scheduled tasks",
        },
        field="csrfmiddlewaretoken",
        person=("root", "a bench's"),
    ),
    Page(
        "saq",
        "saq",
        ("saq[redis,web]",),
        lambda bin, url, port: [f"{bin}/saq", "view_saq.settings", "--web", "--port", str(port)],
        None,
        "/",
        "mail",
        _failed_saq,
        _keys("saq:job:mail:*"),
        {
            "overview of queues": "yes",
            "one task's story": "yes",
            "replay one": "yes",
            "cancel or delete one": "yes",
        },
    ),
    Page(
        "streaq",
        "streaq",
        ("streaq[web]", "uvicorn"),
        lambda bin, url, port: [f"{bin}/streaq", "web", "view_streaq:worker", "-p", str(port)],
        lambda bin, url: [f"{bin}/streaq", "run", "view_streaq:worker"],
        "/queue",
        "send",
        _waiting_streaq,
        _keys("streaq:mail:task:*"),
        {
            "overview of queues": "one queue",
            "one task's story": "yes",
            "cancel or delete one": "yes",
            "schedules": "yes",
        },
    ),
    Page(
        "flexiq",
        "flexiq",
        ("flexiq",),
        lambda bin, url, port: [f"{bin}/flexiq", "dashboard", "--app", "view_flexiq:queue", "--port", str(port)],
        lambda bin, url: [f"{bin}/flexiq", "worker", "--app", "view_flexiq:queue", "--queues", "mail"],
        "/",
        "mail",
        lambda store, n: ("POST", f"/api/queues/mail{n}/pause", {}),
        lambda store: store.dump("flexiq:queues:paused"),
        {
            "overview of queues": "yes",
            "one task's story": "yes",
            "failures grouped": "yes",
            "replay one": "yes",
            "replay a group": "yes",
            "cancel or delete one": "yes",
            "pause a queue": "yes",
            "history over a day": "yes",
            "flows": "yes",
        },
    ),
]
