"""Sentry's SDK in a process of regiment: the application's, or one of our own."""

from __future__ import annotations

import logging
import os

import sentry_sdk

from regiment import log

BUDGET = 2.0
"""Seconds that the end of a process waits for what was reported to be sent."""
_throttle = log.Throttle(3600.0)


def prepared(dsn: str, *, bare: bool = False) -> bool:
    """True if there is an SDK that sends. Where nobody has set up one, this does, with `dsn` or SENTRY_DSN; `bare`: without what it
    changes in other libraries, for a process that is not the application's.
    """
    if sentry_sdk.is_initialized():
        return True
    found = dsn or os.environ.get("SENTRY_DSN", "")
    if not found:
        if _throttle() is not None:
            reason = "the application has not called sentry_sdk.init, and neither dsn= nor SENTRY_DSN is set"
            log.event(logging.WARNING, "sentry.off", reason=reason, next="nothing is reported from this process")
        return False
    sentry_sdk.init(dsn=found, default_integrations=not bare, auto_enabling_integrations=not bare)
    return True


def flush() -> None:
    """Send what was reported, within `BUDGET`."""
    if sentry_sdk.is_initialized():
        sentry_sdk.flush(timeout=BUDGET)
