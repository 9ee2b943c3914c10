"""Values to bytes of a place and back, and in words what is wrong with one that does not come back."""

from __future__ import annotations

import time
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from regiment.codec import Codec
from regiment.contracts import Followed
from regiment.errors import DecodeError
from regiment_claims.errors import ClaimError, ClaimExpired, ClaimLost, ClaimRefused, ClaimUnreachable, ClaimUnreadable
from regiment_claims.places import Place
from regiment_claims.references import Reference, human

WHERE: Followed = ("claims", "value")
"""The place that a signature covers: the same for all, so that equal contents are one blob. Which value is meant is said by its
digest, in a message that is signed itself."""


def put(place: Place, shown: str, data: bytes, until: int) -> Reference:
    """Put bytes into their place; `ClaimRefused` where it cannot be written."""
    reference = Reference(sha256(data).hexdigest(), len(data), until)
    try:
        place.put(reference.digest, data, until)
    except Exception as error:  # a driver may raise anything
        raise ClaimRefused(
            f"a value of {human(len(data))} cannot be put into {shown}: {in_words(error)}. Nothing was pushed. The place of claims "
            "must be there, writable, and have room"
        ) from error
    return reference


def got(place: Place, shown: str, reference: Reference, codec: Codec, home: str, what: str) -> Any:
    """The value of a claim that was put into `home`; a `ClaimError` that says why there is none. Nothing is decoded before its digest is right."""
    found = _bytes(lambda: _whole(place, reference), place, shown, reference, home, what)
    try:
        return codec.unpack(found, WHERE)
    except DecodeError as error:
        raise ClaimUnreadable(
            f"{what}, a {reference.shown()}, is in {shown} and cannot be read here: {error}. Producers and workers have "
            "the same serializer, keys and Claims(limit=…)"
        ) from error


def _whole(place: Place, reference: Reference) -> tuple[bytes | None, bool]:
    """The bytes with the right digest, if there are some; and whether there were others."""
    others = False
    for data in place.blobs(reference.digest, reference.size, reference.until):
        if sha256(data).hexdigest() == reference.digest:
            return data, others
        others = True
    return None, others


def _bytes(
    ask: Callable[[], tuple[bytes | None, bool]], place: Place, shown: str, reference: Reference, home: str, what: str
) -> bytes:
    try:
        found, others = ask()
        if found is not None:
            return found
        there = others or place.there()
    except FileNotFoundError:
        there = others = False
    except Exception as error:
        raise ClaimUnreachable(f"{what}, a {reference.shown()}, cannot be had: {shown}: {in_words(error)}") from error
    raise _missing(there, others, shown, reference, home, what)


def _missing(there: bool, others: bool, shown: str, reference: Reference, home: str, what: str) -> ClaimError:
    named = f"{what}, a {reference.shown()},"
    if others:
        return ClaimLost(f"{named} is lost: what {shown} has in its place has another digest; it was not decoded")
    if time.time() > reference.until:
        ago = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(reference.until))
        return ClaimExpired(f"{named} has expired: its time to live was over at {ago} (Claims(ttl=…, letter_ttl=…))")
    if not there:
        return ClaimUnreachable(
            f"{named} cannot be had: {shown} is no place of claims. Is it mounted, is it the right one?"
        )
    if home != shown:
        return ClaimUnreachable(
            f"{named} is not in {shown}: it was put into {home}. Give producers and workers the same Claims(…)"
        )
    return ClaimLost(f"{named} is lost: it is not in {shown} any more, before its time to live was over")


def in_words(error: BaseException) -> str:
    """An error of a file system or a driver, on one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:300]
