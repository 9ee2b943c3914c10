"""Which deliveries have asked for another process: remembered in the tree's folder, beyond the process that they ask to end."""

from __future__ import annotations

from pathlib import Path

NAME = "respawned"
"""The file in the tree's folder."""
REMEMBERED = 256
"""How many deliveries are remembered, the last ones."""
NOTE = b'{"kind": "respawn", "reason": "asked for another process again, in that process"}'
"""The note of a delivery that has asked again."""


def asked_before(sheet: Path, payload: bytes) -> bool:
    """Whether this delivery is remembered beside the page `sheet`; it is from now on. Where no file can be written nothing is."""
    import hashlib

    path, mark = sheet.with_name(NAME), hashlib.sha256(payload).hexdigest()[:32]
    try:
        known = path.read_text().split() if path.exists() else []
        if mark not in known:
            path.write_text("\n".join([*known, mark][-REMEMBERED:]))
            return False
    except (OSError, ValueError):
        return False
    return True
