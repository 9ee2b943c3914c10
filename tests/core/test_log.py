"""Fields of the log: any name is one, also those of the logger's own parameters."""

from __future__ import annotations

import logging

import pytest

from regiment.log import FieldLogger


def test_a_field_may_have_any_name(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    logger = FieldLogger("app")
    for say in (logger.debug, logger.info, logger.warning, logger.error):
        say("fetched %s", "a page", message="of a user", level=7, self="me", args=1, name="n")
    fields = {"message": "of a user", "level": 7, "self": "me", "args": 1, "name": "n"}
    assert [(record.getMessage(), record.regiment) for record in caplog.records] == [("fetched a page", fields)] * 4  # type: ignore[attr-defined]
