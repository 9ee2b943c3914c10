"""The driver's errors in regiment's words; never with a password in them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bson.errors import InvalidBSON
from pymongo import errors as driver

from regiment.errors import QueueFull, StoreError, StoreUnavailable

AUTHENTICATION = {11, 18, 8000, 334}
RIGHTS = {13}
NO_ROOM = {14031, 39}
INTERRUPTED = 11601
TRANSIENT = {
    6,
    7,
    24,
    50,
    63,
    64,
    89,
    91,
    112,
    133,
    150,
    189,
    202,
    225,
    244,
    251,
    262,
    290,
    317,
    358,
    384,
    9001,
    10107,
    11600,
    INTERRUPTED,
    11602,
    13388,
    13435,
    13436,
}
"""Codes of "not now": interrupted, no primary, a step-down, time is up, write conflict, transaction gone."""


@contextmanager
def translated(shown: str, maybe_pushed: bool = False) -> Iterator[None]:
    """Raise `StoreUnavailable`, `StoreError` or `QueueFull` for what the driver raises inside.

    `maybe_pushed`: a request of a push was under way, so an answer that did not come says nothing.
    """
    try:
        yield
    except driver.ServerSelectionTimeoutError as error:
        raise StoreUnavailable(
            f"{shown} cannot be reached, or has no primary: {_short(error)}. Is MongoDB running?",
            maybe_pushed=maybe_pushed,
        ) from None
    except (driver.AutoReconnect, driver.WaitQueueTimeoutError) as error:
        raise StoreUnavailable(f"{shown} did not answer: {_short(error)}", maybe_pushed=maybe_pushed) from error
    except (driver.ProtocolError, InvalidBSON) as error:
        # The driver has closed the connection; the next request goes over another.
        raise StoreUnavailable(
            f"{shown} answered what is no answer: {_short(error)}", maybe_pushed=maybe_pushed
        ) from error
    except driver.OperationFailure as error:
        raise judged(shown, error, maybe_pushed) from error
    except (driver.ConfigurationError, driver.InvalidURI) as error:
        raise StoreError(f"{shown}: the driver refuses the address: {_short(error)}") from None
    except driver.PyMongoError as error:
        if error.timeout or error.has_error_label("TransientTransactionError"):
            raise StoreUnavailable(
                f"{shown} did not answer in time: {_short(error)}", maybe_pushed=maybe_pushed
            ) from error
        raise StoreError(f"{shown}: {type(error).__name__}: {_short(error)}") from error


def judged(shown: str, error: driver.OperationFailure, maybe_pushed: bool = False) -> StoreError:
    """What a refusal by the server means."""
    code = error.code or 0
    if code in AUTHENTICATION:
        return StoreError(f"{shown} refuses the user name or the password (MongoDB error {code})")
    if code in RIGHTS:
        return StoreError(
            f"{shown} refuses what this user asks for: {_short(error)}; it needs the role readWrite on the database"
        )
    if code in NO_ROOM:
        return QueueFull(f"{shown} has no room on its disk: {_short(error)}")
    if code in TRANSIENT or error.timeout or error.has_error_label("TransientTransactionError"):
        return StoreUnavailable(f"{shown} cannot do this now: {_short(error)}", maybe_pushed=maybe_pushed)
    return StoreError(f"{shown}: MongoDB error {code}: {_short(error)}")


def _short(error: Exception) -> str:
    """The first sentence of what the driver says; it ends with pages of topology otherwise."""
    return str(error).split(", full error:")[0].split(", Timeout:")[0][:300]
