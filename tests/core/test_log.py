"""Events and the logger of a worker: fields go along, and nothing that listens can break what it hears."""

from __future__ import annotations

import logging

import pytest

from regiment import log


def test_a_logger_takes_fields_as_keywords(caplog: pytest.LogCaptureFixture) -> None:
    logger = log.FieldLogger("regiment.worker.mail")
    with caplog.at_level(logging.INFO):
        logger.debug("unheard", a=1)
        logger.info("fetched %s", "it", url="http://h", name="x", extra=3)
    [record] = caplog.records
    assert record.getMessage() == "fetched it" and record.levelname == "INFO" and record.filename == "test_log.py"
    assert record.regiment == {"url": "http://h", "name": "x", "extra": 3}  # type: ignore[attr-defined]


def test_an_exception_is_logged_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    try:
        raise KeyError("k")
    except KeyError:
        log.FieldLogger("regiment.worker.mail").exception("broken", part="p")
    [record] = caplog.records
    assert record.levelname == "ERROR" and record.exc_info is not None and record.exc_info[0] is KeyError
    assert record.regiment == {"part": "p"}  # type: ignore[attr-defined]


def test_a_handler_that_raises_is_said_and_the_others_hear_the_event(capsys: pytest.CaptureFixture[str]) -> None:
    class Broken(logging.Handler):
        def handle(self, record: logging.LogRecord) -> bool:
            raise OSError("disk full")

    heard: list[str] = []

    class Good(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            heard.append(record.getMessage())

    handlers = [Broken(), Good()]
    for handler in handlers:
        log.logger.addHandler(handler)
    try:
        log.event(logging.ERROR, "plugin.error", plugin="p")
    finally:
        for handler in handlers:
            log.logger.removeHandler(handler)
    assert heard == ["plugin.error"] and "disk full" in capsys.readouterr().err


def test_what_an_observer_raises_is_an_event_and_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def observer(_: object) -> None:
        raise ValueError("mine")

    log.tell(observer, 1)
    [record] = caplog.records
    assert record.getMessage() == "plugin.error"
    assert record.regiment == {"plugin": __name__}  # type: ignore[attr-defined]


def test_a_throttle_lets_the_first_through_and_counts_what_it_held_back() -> None:
    throttle = log.Throttle(seconds=3600)
    assert [throttle(), throttle(), throttle()] == [0, None, None]
    every = log.Throttle(seconds=0)
    assert [every(), every()] == [0, 0]


def test_a_field_may_have_any_name(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    logger = log.FieldLogger("app")
    for say in (logger.debug, logger.info, logger.warning, logger.error):
        say("fetched %s", "a page", message="of a user", level=7, self="me", args=1, name="n")
    fields = {"message": "of a user", "level": 7, "self": "me", "args": 1, "name": "n"}
    assert [(record.getMessage(), record.regiment) for record in caplog.records] == [("fetched a page", fields)] * 4  # type: ignore[attr-defined]
