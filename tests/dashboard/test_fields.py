"""What users fill, everywhere they can: markup stays text, and eight megabytes make no page of megabytes."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest

from dashboard.conftest import NASTY, Served
from harness.store import connector
from harness.wait import eventually
from regiment import Queue
from regiment.contracts import Dead, Terms
from regiment_limits import Limits, Pool
from regiment_schedules import Schedules, schedules
from regiment_workflows import FlowQueue, Workflows, flow

LARGE = NASTY + "a" * (8 << 20)
MOST = 1 << 20
"""Bytes of a page."""


def run(**_: Any) -> None: ...


def fill_fields(url: str, text: str) -> str:
    """A queue each of whose texts is this one, as far as a store takes it."""
    queue = Queue("mail", connector=url, payload_limit=64 << 20)
    for number in range(3):
        named = queue.options(name="send", headers={"from": text[:8_000]}, trace_id=NASTY, id=f"{NASTY}{number}")
        named.push(**{"to": text, "deep": [{text[:100_000]: text}], NASTY[:60]: 1})
    queue.options(name=NASTY[:60]).push(to=text)
    store: Any = connector(url, "lease")
    with contextlib.closing(store):
        store.join("mail", NASTY, Terms())
        taken = store.exchange("mail", NASTY, 1, 1, [], 2, 1 << 30).deliveries
        reason = dict.fromkeys(("kind", "error_type", "error", "name", "traceback"), text)
        reason["evidence"] = {"kind": text, "stacks": text, text[:1000]: text}
        letters = [Dead(one.receipt, f"t{one.receipt}", json.dumps(reason).encode()) for one in taken]
        store.exchange("mail", NASTY, 2, 100, letters, 0, 1 << 20)
        store.exchange("mail", NASTY, 3, 100, [], 1, 1 << 30)
        record = {
            "host": text,
            "pid": 1,
            "release": text,
            "workers": [{"pid": 2, "queue": NASTY, "tasks": 1, "rate": 1.0, "target": text}],
        }
        store.announce(NASTY, json.dumps(record).encode(), 600)
        return str(store.dead("mail", 1)[0].id)


PAGES = (
    "/",
    "/queue?name=mail",
    "/queue?name=mail&state=leased",
    "/workers",
    "/dead",
    "/group?queue=mail",
    "/letter?queue=mail&id={letter}",
)


@pytest.mark.parametrize("text", [NASTY, LARGE], ids=["markup", "8 MiB"])
def test_whatever_a_user_fills_is_text_and_no_page_is_large(serve: Any, url: str, text: str) -> None:
    letter = fill_fields(url, text)
    served: Served = serve(url)
    eventually(lambda: ">mail</a>" in served.ask("/").text, 60, "that the store was looked at")
    for path in PAGES:
        answer = served.ask(path.format(letter=letter))
        assert answer.status == 200, (path, answer.text[-500:])
        assert "<script>document" not in answer.text, path
        if text == NASTY:  # of what is very large, a page says that it was not decoded
            assert "&lt;script&gt;document" in answer.text, path
        assert len(answer.text) < MOST, (path, len(answer.text))


def test_names_in_panels_are_text(serve: Any, file: str) -> None:
    plain = Queue("mail", connector=file, plugins=[Schedules()])
    schedules(plain).add("daily", plain.task(run), "0 9 * * *")
    with flow(NASTY[:40]) as made:
        made.add(FlowQueue("mail", connector=file, plugins=[Workflows()]).task(run).s(a=NASTY), name="a b<i>")
    made.start(id="f-1")
    pool = "<script>document"
    limited = Queue("mail", connector=file, plugins=[Limits(pools={pool: Pool(at_once=1)})])
    limited.task(pool=pool, lane="{to}", unique="{to}")(send).push(to=NASTY)
    served: Served = serve(file)
    for path in ("/schedules", "/flows", "/flows?queue=mail&id=f-1", "/limits"):
        answer = served.ask(path)
        assert answer.status == 200 and "<script>document" not in answer.text and "<i>" not in answer.text, path
    assert "&lt;script&gt;document" in served.ask("/limits").text


def send(to: str) -> None: ...


@pytest.mark.parametrize("size", [60_000, 8 << 20])
def test_an_address_of_any_length_is_answered(serve: Any, file: str, size: int) -> None:
    served: Served = serve(file)
    for path in ("/queue?name=", "/letter?queue=mail&id=", "/group?queue=mail&group=", "/dead?queue=", "/"):
        with contextlib.suppress(ConnectionError):  # it may close while the rest is still being sent
            assert served.ask(path + "a" * size).status in (200, 400, 404, 503), path
        assert served.ask("/workers").status == 200


@pytest.mark.parametrize("field", ["queue", "sure", "letter", "group", "upto", "token", "all", "key", "back"])
def test_a_field_of_a_form_of_eight_megabytes_is_refused_and_changes_nothing(serve: Any, file: str, field: str) -> None:
    served: Served = serve(file)
    form = {"token": served.token(), "queue": "mail", "sure": "mail", "all": "yes", "letter": "1"}
    for act in ("purge", "replay", "drop"):
        with contextlib.suppress(ConnectionError):
            assert served.ask(f"/act/{act}", {**form, field: LARGE}).status == 400
    with contextlib.suppress(ConnectionError):
        assert served.ask("/sign-in", {**form, field: LARGE}).status == 400
    assert (served.counts().ready, served.counts().dead) == (3, 4)
