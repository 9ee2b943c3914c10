"""The dashboard inside of a project: mounted in its ASGI application, behind Django's own login.

# project/asgi.py
application = with_dashboard(get_asgi_application())

Staff may look, and who has the permission `regiment_django.operate_dashboard` may act. It is at `REGIMENT["dashboard"]`.
"""

from __future__ import annotations

import hashlib
import hmac
import io
from collections.abc import Awaitable, Callable, MutableMapping
from contextvars import ContextVar
from importlib import import_module
from typing import Any, NamedTuple

from regiment.errors import ConfigError, PluginError
from regiment_django import conf

PERMISSION = "regiment_django.operate_dashboard"
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class Guest(NamedTuple):
    """Who asks, as Django knows them: `role` is "admin", "operator", "viewer" or None, `session` a word that only this login has."""

    name: str
    role: Any
    session: str


_guest: ContextVar[Guest] = ContextVar("guest")


def may_look(user: Any) -> bool:
    """True if this user of Django may open the dashboard."""
    return bool(user.is_active and (user.is_staff or user.has_perm(PERMISSION)))


def with_dashboard(application: Application) -> Application:
    """The project's ASGI application, with the dashboard at the path that `REGIMENT["dashboard"]` names ("/regiment/").

    `ConfigError` if that is no path of this project, and `PluginError` if regiment-dashboard is not installed.
    """
    path = conf.dashboard()
    if not path.startswith("/"):
        raise ConfigError(f'REGIMENT["dashboard"] is {path!r}; expected a path such as "/regiment/" to mount it at')
    return _Mounted(application, path.rstrip("/"))


class _Mounted:
    """Sends what is below a path to the dashboard, if Django lets its sender in, and all else to the project."""

    def __init__(self, project: Application, root: str) -> None:
        self._project, self._root = project, root
        self._pages = _pages()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http" and self._is_ours(scope["path"], str(scope.get("root_path", ""))):
            await self._serve(scope, receive, send)
        else:
            await self._project(scope, receive, send)

    def _is_ours(self, path: str, outer: str) -> bool:
        inner = path.removeprefix(outer)
        return inner == self._root or inner.startswith(f"{self._root}/")

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        """The pages start at the first look, and end with the server."""
        await receive()
        async with self._pages.router.lifespan_context(self._pages):
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        from asgiref.sync import sync_to_async

        outer = str(scope.get("root_path", ""))
        if scope["path"] == outer + self._root:
            await _answer(send, 308, location=f"{outer}{self._root}/")
            return
        closed, guest = await sync_to_async(_let_in, thread_sensitive=True)(scope)
        if guest is None:
            await _answer(send, *closed[:1], location=closed[1], text=closed[2])
            return
        token = _guest.set(guest)
        host = (scope.get("client") or ("?", 0))[0]
        below = {**scope, "root_path": outer + self._root, "client": (f"{guest.name} at {host}", 0)}
        try:
            await self._pages(below, receive, send)
        finally:
            _guest.reset(token)


def _let_in(scope: Scope) -> tuple[tuple[int, str, str], Guest | None]:
    """Who has sent this request, or the status, address and words with which it is refused."""
    from django.conf import settings
    from django.contrib.auth import get_user
    from django.contrib.auth.views import redirect_to_login
    from django.core.exceptions import DisallowedHost
    from django.core.handlers.asgi import ASGIRequest
    from django.db import close_old_connections

    request = ASGIRequest(dict(scope), io.BytesIO())
    try:
        request.get_host()
    except DisallowedHost as error:
        return (400, "", f"{error}"), None
    key = request.COOKIES.get(settings.SESSION_COOKIE_NAME)
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(key)
    close_old_connections()
    try:
        user = get_user(request)
        if user.is_authenticated and may_look(user):
            role = "viewer"
            if user.has_perm(PERMISSION):
                role = "admin" if user.is_superuser else "operator"
            return (200, "", ""), Guest(user.get_username(), role, str(request.session.session_key))
    finally:
        close_old_connections()
    if user.is_authenticated:
        return (403, "", f"{user.get_username()} may not see this page; it is for staff"), None
    if request.method != "GET":
        return (403, "", "You are not signed in, and nothing was changed"), None
    return (302, redirect_to_login(request.get_full_path()).url, ""), None


async def _answer(send: Send, status: int, location: str = "", text: str = "") -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store")]
    headers += [(b"location", location.encode())] if location else []
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": f"{text}\n".encode() if text else b""})


def _pages() -> Any:
    """The dashboard of the project's store, with doors that ask Django who somebody is."""
    try:
        from regiment_dashboard.app import Dashboard
        from regiment_dashboard.doors import Doors, Visitor
    except ImportError as error:
        raise PluginError(
            f"with_dashboard needs regiment-dashboard ({error}): pip install regiment-dashboard"
        ) from error
    from django.conf import settings

    from regiment.build import make_connector
    from regiment.config import WorkerConfig

    class StaffDoors(Doors):
        """Doors that trust Django: its hosts, its sessions, its permissions. A form is of one login."""

        def host_is_ours(self, host: str) -> bool:
            return True  # Django has been asked

        def visitor(self, cookie: str | None) -> Visitor:
            guest = _guest.get()
            return Visitor(self._seal("login", guest.session), guest.role)

    connector = conf.said().get("connector")
    config, why = WorkerConfig(name="dashboard", connector=connector), 'from REGIMENT["connector"]'
    doors = StaffDoors(frozenset(), {}, "viewer", 0)
    # The same in each process that serves the project.
    doors._secret = hmac.new(settings.SECRET_KEY.encode(), b"regiment dashboard", hashlib.sha256).digest()
    where = make_connector(config, why)().describe()
    return Dashboard(config, why, where, doors).application()
