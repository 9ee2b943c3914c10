"""The options of the extension, and what they may be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from regiment import bounds
from regiment.bounds import seen
from regiment.masking import shown_url

STORE = "store"
"""The place that is the store of the queue itself."""
ABOVE = 64_000
"""Bytes of arguments that a message may have."""
LEAST = 512
"""Bytes below which nothing becomes a claim: what stands for it in the message would save nothing."""
TTL, LETTER_TTL = 604_800.0, 2_592_000.0
"""Seconds for which a claim is kept from its push, or the last failed run, on; and from the death of its task on."""
LIMIT, STORE_LIMIT = 256 * 1024 * 1024, 8 * 1024 * 1024
"""Bytes of the largest claim; of one in the store: MongoDB holds no record of 16 MiB."""


def problems_of(options: Mapping[str, Any]) -> list[str]:
    """What is wrong with these options, in words."""
    place, found = options.get("place"), []
    if (wrong := _place_problem(place)) is not None:
        found.append(wrong)
    if not bounds.whole(options.get("above", ABOVE), LEAST, bounds.LARGEST):
        found.append(f"above is {seen(options['above'])}; expected bytes, from {LEAST} to {bounds.LARGEST:,}")
    for name in ("ttl", "letter_ttl"):
        if name in options and not (bounds.limit(options[name]) and options[name] >= 1):
            found.append(f"{name} is {seen(options[name])}; expected seconds from 1 on, at most {bounds.YEARS} years")
    most, limit = STORE_LIMIT if place == STORE else bounds.LARGEST, options.get("limit")
    if limit is not None and not bounds.whole(limit, LEAST, most):
        why = ", for a store holds no larger record" if place == STORE else ""
        found.append(f"limit is {seen(limit)}; expected bytes, from {LEAST} to {most:,}{why}")
    if not isinstance(options.get("sweep", True), bool):
        found.append(f"sweep is {seen(options['sweep'])}; expected True or False")
    given = options.get("options")
    if given is not None and not (isinstance(given, dict) and all(isinstance(name, str) for name in given)):
        found.append("options is no dict of names and values; expected what fsspec is to be given for this place")
    elif given and (place == STORE or str(place).startswith("file:")):
        found.append("options are for places of fsspec (s3://…); a folder and the store have none")
    return [f"extension 'claims': option {one}" for one in found]


def _place_problem(place: object) -> str | None:
    expected = f'expected "file:///folder", a URL of fsspec (s3://bucket/folder, memory://name) or "{STORE}"'
    if not isinstance(place, str) or (place != STORE and "://" not in place):
        return f"place is {seen(place)}; {expected}"
    scheme, _, path = place.partition("://")
    if not path and place != STORE:
        return f"place is {seen(place)}, which names no folder; {expected}"
    if scheme == "file" and (not path.startswith("/") or ".." in path.split("/") or not path.strip("/")):
        return f"place is {seen(place)}; expected the absolute path of a folder, without ..: file:///srv/claims"
    if scheme != "file" and place != STORE and "@" in path:
        return f"place is {shown_url(place)} with a password in it, which every message would show; give it in options"
    return None
