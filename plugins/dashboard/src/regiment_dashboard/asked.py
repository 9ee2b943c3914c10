"""What is read of a request, and the headers of every answer."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import parse_qs, urlencode

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from regiment.errors import RegimentError
from regiment_dashboard import reading
from regiment_dashboard.doors import HEADERS

MOST_FORM = 64 * 1024
"""Bytes of a form that are read."""
SENDING = 10.0
"""Seconds in which a form has to be there."""


class Sealed:
    """Every answer, whatever it is of, has the headers that forbid what is not ours."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self._app(scope, receive, sealed)


def closed(status: int, text: str) -> Response:
    """An answer to who has no page."""
    return PlainTextResponse(text + "\n", status)


async def form(request: Request) -> dict[str, list[str]] | None:
    """The fields of a form; None if it is too large, too slow, or no form."""
    body = b""
    try:
        async with asyncio.timeout(SENDING):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MOST_FORM:
                    return None
    except TimeoutError:
        return None
    try:
        return parse_qs(body.decode("ascii"), keep_blank_values=True, max_num_fields=reading.MOST + 20, errors="strict")
    except ValueError:
        return None


def root(request: Request) -> str:
    """The address of the dashboard itself, without a slash at its end."""
    return str(request.scope.get("root_path", "")).rstrip("/")


def path(request: Request) -> str:
    """The address without that of the dashboard itself."""
    return request.url.path.removeprefix(root(request)) or "/"


def via(request: Request) -> str:
    """By way of what an act was asked for, as its account has it."""
    return f"dashboard from {request.client.host if request.client else '?'}"


def one(request: Request, name: str) -> str:
    """A field that the address must have."""
    found = request.query_params.get(name)
    if not found:
        raise RegimentError(f"this page needs ?{name}=")
    return found


def local(path: str) -> str:
    """A path of these pages: what could lead elsewhere leads to the first one."""
    return path if path.startswith("/") and not path.startswith(("//", "/\\")) else "/"


def query(**values: Any) -> str:
    """The fields of an address; None: left out."""
    return urlencode({name: value for name, value in values.items() if value is not None})
