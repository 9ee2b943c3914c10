"""Reading what a server of metrics says, as Prometheus does."""

from __future__ import annotations

import http.client
import urllib.request

from prometheus_client.parser import text_string_to_metric_families


def scraped(port: int, token: str | None = None) -> dict[tuple[str, frozenset[tuple[str, str]]], float] | None:
    """(name, labels) -> value; None where nobody answers now."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            text = answer.read().decode()
    except (OSError, http.client.HTTPException):
        return None
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(port: int, name: str, token: str | None = None, **labels: str) -> float | None:
    """One value; None if it is not there."""
    found = scraped(port, token) or {}
    return found.get((name, frozenset(labels.items())))
