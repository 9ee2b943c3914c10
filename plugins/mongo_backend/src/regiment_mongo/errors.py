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
PASSING = {
    6: "no such host",
    7: "host not found",
    24: "lock timeout",
    43: "cursor not found",
    50: "time is up",
    63: "stale configuration",
    64: "write concern not met",
    74: "node not found",
    79: "no such write concern yet",
    89: "network timeout",
    91: "shutdown",
    100: "too few members for the write concern",
    112: "write conflict",
    133: "no primary found",
    134: "not yet readable there",
    150: "stale epoch",
    175: "what was read has been dropped",
    189: "primary stepped down",
    202: "network time is up",
    206: "no such session",
    211: "its keys are not there yet",
    215: "the database is being dropped",
    216: "election in progress",
    225: "transaction too old",
    237: "cursor killed",
    244: "transaction aborted",
    246: "snapshot not there",
    251: "no such transaction",
    262: "time is up",
    276: "index build aborted",
    290: "transaction too long",
    317: "pool closed",
    358: "member unstable",
    365: "term is stale",
    384: "connection error",
    9001: "socket closed",
    10107: "not writable",
    11600: "shutdown",
    INTERRUPTED: "interrupted",
    11602: "interrupted by a change of state",
    13388: "stale configuration",
    13435: "not primary, no secondary reads",
    13436: "not primary or recovering",
}
"""Codes of "not now", and what they stand for. A worker waits and repeats."""

LAYOUT_GONE = {26, 27}
"""No such collection, no such index: ours were dropped."""
BAD_VALUE = 2
"""Is what a server says too to a hint at an index that is not there."""

OTHER_KIND = {20}
"""A transaction where there are none: the set's member runs as a stand-alone server now. Another client learns what it is."""

TOO_LARGE = {388, 10334, 17280}
"""A transaction, or a document, is larger than the server can keep."""


class Ours(StoreUnavailable):
    """It passes when this connector has done something about it."""


class LayoutGone(Ours):
    """Collections or indexes were dropped: make them again."""


class OtherKind(Ours):
    """The server is of another kind than at the start: look again what it is."""


@contextmanager
def translated(shown: str, maybe_pushed: bool = False, worked: bool = False) -> Iterator[None]:
    """Raise `StoreUnavailable`, `StoreError` or `QueueFull` for what the driver raises inside.

    `maybe_pushed`: a request of a push was under way, so an answer that did not come says nothing. `worked`: it has
    worked before, so a refusal of user, password or rights may pass too, as a restart would not cure it either.
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
        raise judged(shown, error, maybe_pushed, worked) from error
    except (driver.ConfigurationError, driver.InvalidURI, ValueError, TypeError, KeyError) as error:
        if worked and isinstance(error, driver.ConfigurationError):
            # "Sessions are not supported by this MongoDB deployment": of a member outside its set, for as long as it is there.
            raise OtherKind(f"{shown} cannot do this now: {_short(error)}") from error
        if worked:
            raise
        raise StoreError(f"{shown}: the driver refuses the address: {_short(error)}") from None
    except driver.InvalidOperation as error:
        if not worked:
            raise
        # Another thread has closed the client, for it could not recover; the next request finds a new one.
        raise StoreUnavailable(f"{shown} cannot do this now: {_short(error)}", maybe_pushed=maybe_pushed) from error
    except driver.PyMongoError as error:
        if error.timeout or error.has_error_label("TransientTransactionError"):
            raise StoreUnavailable(
                f"{shown} did not answer in time: {_short(error)}", maybe_pushed=maybe_pushed
            ) from error
        raise StoreError(f"{shown}: {type(error).__name__}: {_short(error)}") from error


def judged(shown: str, error: driver.OperationFailure, maybe_pushed: bool = False, worked: bool = False) -> StoreError:
    """What a refusal by the server means: that it passes, that it is final, or that it is ours to mend."""
    code = error.code or 0
    if code in AUTHENTICATION | RIGHTS:
        why = (
            f"refuses the user name or the password (MongoDB error {code})"
            if code in AUTHENTICATION
            else f"refuses what this user asks for: {_short(error)}; it needs the role readWrite on the database"
        )
        return (StoreUnavailable if worked else StoreError)(f"{shown} {why}")
    if code in LAYOUT_GONE or (code == BAD_VALUE and "hint" in str(error)):
        return LayoutGone(
            f"{shown} has lost an index or a collection of ours (MongoDB error {code}); what is missing is made again"
        )
    if code in OTHER_KIND and worked:
        return OtherKind(f"{shown} is not what it was at the start: {_short(error)}")
    if code in TOO_LARGE:
        return StoreError(
            f"{shown} cannot keep so much at once: {_short(error)}; push fewer or smaller tasks at a time, or give its cache more room"
        )
    if code in NO_ROOM:
        return QueueFull(f"{shown} has no room on its disk: {_short(error)}")
    if code in PASSING or error.timeout or error.has_error_label("TransientTransactionError"):
        return StoreUnavailable(f"{shown} cannot do this now: {_short(error)}", maybe_pushed=maybe_pushed)
    return StoreError(f"{shown}: MongoDB error {code}: {_short(error)}")


def _short(error: Exception) -> str:
    """The first sentence of what the driver says; it ends with pages of topology otherwise."""
    return str(error).split(", full error:")[0].split(", Timeout:")[0][:300]
