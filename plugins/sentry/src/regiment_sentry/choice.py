"""The typed way to choose this extension."""

from __future__ import annotations

from regiment.config import Use


def Sentry(dsn: str = "", each_try: bool = False, tracing: bool = False) -> Use:  # noqa: N802  a choice is written like the class that it stands for
    """Report the tasks of a queue that become dead letters, and its workers that are killed.

    `dsn`: where to, for processes in which the application does not call `sentry_sdk.init`; by default the variable SENTRY_DSN says it.
    `each_try`: report failures that are retried, too. `tracing`: a span for each push and a transaction for each run, as far as the SDK
    samples them; each run then costs what that costs.
    """
    options = {"dsn": dsn, "each_try": each_try, "tracing": tracing}
    return Use("sentry", **{name: value for name, value in options.items() if value})
