"""The HTTP side: /metrics for Prometheus, /scale for autoscalers, /health for probes."""

from __future__ import annotations

import contextlib
import hmac
import json
import socket
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import Any
from urllib.parse import parse_qs
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import make_wsgi_app

from regiment_metrics.exposing import Seeing, Shown, registry_of
from regiment_metrics.scaling import Damped, record, wanted

TARGET = 30.0
"""Seconds within which the load of a queue is to be ended, if an autoscaler does not say."""
MOST_TARGET = 86_400.0
Start = Callable[..., Any]


class Pages:
    """The application (WSGI). With a token, who reads has to show it: `Authorization: Bearer TOKEN`."""

    def __init__(self, sampler: Seeing, token: str | None, tree: Shown | None = None) -> None:
        self._sampler, self._token = sampler, token
        self._metrics = make_wsgi_app(registry_of(sampler, tree))
        self._damped = Damped()

    def __call__(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "/")
        if environ.get("REQUEST_METHOD") not in ("GET", "HEAD"):
            return _said(start, "405 Method Not Allowed", {"error": "only GET"})
        if path == "/health":
            return _said(start, "200 OK", {"store": "up" if self._sampler.last.up else "down"})
        if self._token is not None and not self._shown(environ.get("HTTP_AUTHORIZATION", "")):
            return _said(start, "401 Unauthorized", {"error": "send Authorization: Bearer TOKEN"})
        if path == "/metrics":
            found: Iterable[bytes] = self._metrics(environ, start)
            return found
        if path == "/scale":
            return self._scale(parse_qs(environ.get("QUERY_STRING", "")), start)
        return _said(start, "404 Not Found", {"error": "there are /metrics, /scale?queue=NAME and /health"})

    def _shown(self, header: str) -> bool:
        return hmac.compare_digest(header.encode("utf-8", "replace"), f"Bearer {self._token}".encode())

    def _scale(self, asked: dict[str, list[str]], start: Start) -> Iterable[bytes]:
        queue, target = asked.get("queue", [""])[0], _seconds(asked.get("target", [str(TARGET)])[0])
        if not queue or target is None:
            why = "expected /scale?queue=NAME, and target=SECONDS above 0 if the load is not to be ended within 30 s"
            return _said(start, "400 Bad Request", {"error": why})
        seen = self._sampler.last
        if not seen.up:  # an autoscaler keeps what it has, where an empty queue would scale all away
            return _said(start, "503 Service Unavailable", {"error": "the store does not answer"})
        standing = seen.queues.get(queue)
        if standing is None:
            return _said(start, "404 Not Found", {"error": f"no queue named {queue!r}"})
        load = self._sampler.most(queue)
        number = self._damped.of(queue, wanted(standing, load, target))
        return _said(start, "200 OK", record(queue, standing, load, number))


def _seconds(text: str) -> float | None:
    try:
        found = float(text)
    except ValueError:
        return None
    return found if 0 < found <= MOST_TARGET else None


def _said(start: Start, status: str, body: dict[str, Any]) -> Iterable[bytes]:
    data = json.dumps(body).encode() + b"\n"
    start(
        status,
        [("Content-Type", "application/json"), ("Content-Length", str(len(data))), ("Cache-Control", "no-store")],
    )
    return [data]


class Server(ThreadingMixIn, WSGIServer):
    """A thread for each connection, none of which outlives the process."""

    daemon_threads = True


class Server6(Server):
    """The same for addresses like ::1."""

    address_family = socket.AF_INET6


class Quiet(WSGIRequestHandler):
    """Says nothing of requests, and gives up on a client that sends none."""

    timeout = 10.0

    def handle(self) -> None:
        """Answer one request; who sends none, or leaves meanwhile, is nobody's trouble."""
        with contextlib.suppress(TimeoutError, ConnectionError):
            super().handle()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


def listening(host: str, port: int) -> Server:
    """A server at this address; OSError where it cannot be had."""
    return (Server6 if ":" in host else Server)((host, port), Quiet)
