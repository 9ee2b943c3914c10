"""The group of a dead letter: which errors are one and the same."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

_FRAME = re.compile(r'^\s*File "([^"]+)", line \d+, in (\S+)', re.MULTILINE)
_FOREIGN = ("site-packages", "dist-packages", "/regiment_", "/regiment/", "/lib/python", "<frozen")
_VARIES = re.compile(r"'[^']*'|\"[^\"]*\"|0x[0-9a-fA-F]+|\d+")
"""What differs between two errors that are the same: quoted texts, addresses, numbers."""


def group_of(reason: Mapping[str, Any]) -> str:
    """The group of a letter with this reason, 8 hexadecimal digits: of its kind, its error, its task, and the line of the application where it was
    raised (name of the file and function: neither folder nor line, which differ from host to host and release to release). Of an error that no line raised: its text without what varies.
    """
    place = ""
    for file, function in _FRAME.findall(str(reason.get("traceback") or "")):
        if not any(part in file for part in _FOREIGN):
            place = f"{file.rpartition('/')[2]}:{function}"
    if not place:
        place = _VARIES.sub("…", str(reason.get("error") or ""))[:200]
    parts = (str(reason.get("kind")), str(reason.get("error_type")), str(reason.get("name")), place)
    return sha256("\0".join(parts).encode(errors="replace")).hexdigest()[:8]
