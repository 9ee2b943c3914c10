"""The file that says who is asked, and the rule that it says it of each queue."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

from regiment.contracts import Examined, Finding

FILE = "owners.toml"


def owners() -> dict[str, str]:
    """Queue -> who is asked; empty if there is no such file."""
    try:
        text = Path(os.environ.get("REGIMENT_OWNERS", FILE)).read_text()
    except FileNotFoundError:
        return {}
    return {str(queue): str(owner) for queue, owner in tomllib.loads(text).items()}


def rule(examined: Examined) -> Finding:
    """OWN01: queues that nobody is asked about."""
    if examined.store is None:
        return Finding("OWN01", "unknown", "the store does not answer")
    known = owners()
    alone = [queue for queue in examined.store.queues() if queue not in known]
    if not alone:
        return Finding("OWN01")
    return Finding("OWN01", "warn", f"nobody is asked about {', '.join(alone)}", f"name somebody in {FILE}")
