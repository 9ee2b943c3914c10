"""The application (ASGI): its routes, and what every request passes. It may be mounted in another application."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from regiment.build import make_broker
from regiment.config import WorkerConfig
from regiment.errors import RegimentError, StoreError, StoreUnavailable
from regiment_cli.text import age
from regiment_console.store import Store
from regiment_dashboard import acting, asked, drawing, reading
from regiment_dashboard.asking import Asking
from regiment_dashboard.doors import Doors, Visitor
from regiment_dashboard.fragments import Fragment, Fragments
from regiment_dashboard.panels import Failed, Panels
from regiment_dashboard.standing import Seen
from regiment_dashboard.watching import Watch

HERE = Path(__file__).parent
T = TypeVar("T")
Page = Callable[[Request], Awaitable[Response]]


class Dashboard:
    """The pages of the store that `config` names. `why` it is this one is said where it is opened, unless `quiet`; pages call it
    `where`.
    """

    def __init__(self, config: WorkerConfig, why: str, where: str, doors: Doors, *, quiet: bool = False) -> None:
        self._make = partial(Store, config, why, quiet=quiet)  # in the thread that uses it
        self._where, self._doors = where, doors
        self._watch, self._panels = Watch(make_broker(config).open), Panels(config)
        self._fragments = Fragments()
        self._store: Store | None = None
        self._away = 0.0, ""
        """When the store was found away last (monotonic time), and in what words."""
        self._asking = Asking("asking")
        self._pages = Environment(
            loader=self._panels.loader(FileSystemLoader(HERE / "templates")),
            autoescape=True,
            finalize=drawing.cut,
            undefined=StrictUndefined,
            auto_reload=False,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._pages.filters |= {
            "age": age,
            "clock": drawing.clock,
            "many": drawing.many,
            "curve": drawing.curve,
            "bars": drawing.bars,
            "spikes": drawing.spikes,
            "lasted": drawing.lasted,
            "whole": drawing.Whole,
        }
        self._pages.globals |= {"query": asked.query, "panels": self._panels.navigation}

    def application(self) -> Starlette:
        """All routes."""
        read: list[tuple[str, Page]] = [
            ("/", self.overview),
            ("/queue", self.queue),
            ("/workers", self.workers),
            ("/dead", self.dead),
            ("/group", self.group),
            ("/letter", self.letter),
        ]
        routes: list[BaseRoute] = [Route(path, self._guarded(page), methods=["GET"]) for path, page in read]
        routes += [
            Route("/sign-in", self._guarded(self.sign_in, stranger=True), methods=["GET"]),
            Route("/sign-in", self._guarded(self.signed_in, stranger=True), methods=["POST"]),
            Route("/act/{act}", self._guarded(self.act, operator=True), methods=["POST"]),
            Mount("/static", StaticFiles(directory=HERE / "static")),
        ]
        for path, _ in self._panels.navigation:
            routes += [
                Route(f"/{path}", self._guarded(partial(self.panel, path)), methods=["GET"]),
                Route(
                    f"/{path}/{{act}}", self._guarded(partial(self.panel_act, path), operator=True), methods=["POST"]
                ),
            ]
        routes.append(Route("/{rest:path}", self._guarded(self.nowhere), methods=["GET"]))
        return Starlette(routes=routes, lifespan=self._alive, middleware=[Middleware(asked.Sealed)])

    @asynccontextmanager
    async def _alive(self, app: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            self._watch.stop()
            self._panels.stop()
            self._asking.stop()

    # What every request passes

    def _guarded(self, page: Page, *, stranger: bool = False, operator: bool = False) -> Page:
        async def guarded(request: Request) -> Response:
            if not self._doors.host_is_ours(request.headers.get("host", "")):
                return asked.closed(
                    400, "This page is not served under that name. The dashboard's --host option names those that are."
                )
            visitor = self._doors.visitor(request.cookies.get(self._doors.name))
            request.state.visitor = visitor
            answer = await self._answer(request, page, visitor, stranger, operator)
            return answer

        return guarded

    async def _answer(self, request: Request, page: Page, visitor: Visitor, stranger: bool, operator: bool) -> Response:
        if visitor.role is None and not stranger:
            back = quote(f"{asked.path(request)}?{request.url.query}" if request.url.query else asked.path(request))
            return RedirectResponse(f"{asked.root(request)}/sign-in?back={back}", 303)
        if request.method == "POST":
            refusal = await self._refused(request, visitor, operator)
            if refusal is not None:
                return refusal
        try:
            answer = await page(request)
        except StoreError as error:
            answer = self._page(request, "message.html", 503, title="The store does not answer", text=str(error))
        except RegimentError as error:
            answer = self._page(
                request,
                "message.html",
                409 if request.method == "POST" else 400,
                title="That could not be done",
                text=str(error),
            )
        if self._doors.cookie(visitor) != request.cookies.get(self._doors.name) and "set-cookie" not in answer.headers:
            self._remember(answer, request, visitor)
        return answer

    async def _refused(self, request: Request, visitor: Visitor, operator: bool) -> Response | None:
        """Why a form is not obeyed; None if it is."""
        if not self._doors.from_ourselves(request.headers):
            return asked.closed(403, "This was sent by another page, and nothing was changed.")
        if operator and visitor.role not in ("operator", "admin"):
            return asked.closed(403, "Only an operator may do that, and nothing was changed.")
        if operator and request.path_params.get("act") in acting.DELETES and visitor.role != "admin":
            return asked.closed(403, "Only an admin may delete, and nothing was changed.")
        form = await asked.form(request)
        if form is None:
            return asked.closed(400, "This form could not be read, and nothing was changed.")
        request.state.form = form
        token = str((request.state.form.get("token") or [""])[0])
        if not self._doors.form_is_ours(visitor, token):
            return asked.closed(
                403,
                "This form was sent before, is old, or of another session, and nothing was changed. Load the page again.",
            )
        return None

    def _remember(self, answer: Response, request: Request, visitor: Visitor) -> None:
        answer.set_cookie(
            self._doors.name,
            self._doors.cookie(visitor),
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
            path=f"{asked.root(request)}/",
        )

    async def _ask(self, work: Callable[..., T], *args: Any, act: bool = False) -> T:
        """Have the one thread that reads the store do it; a store that was away is opened anew. Who waits for that thread while
        somebody else finds the store away is told so at once, and does not wait for it once more.
        """
        since = time.monotonic()

        def work_on_it() -> T:
            at, away = self._away
            if at > since:
                raise StoreUnavailable(away)
            try:
                self._store = self._store or self._make()
                return work(self._store, *args)
            except StoreError as error:
                self._store = None
                if isinstance(error, StoreUnavailable):
                    self._away = time.monotonic(), str(error)
                raise

        return await asyncio.wrap_future(self._asking.submit(work_on_it, act=act))

    def _page(self, request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        visitor: Visitor = request.state.visitor
        token = self._doors.form_token(visitor)
        common = {
            "root": asked.root(request),
            "where": self._where,
            "role": "operator" if visitor.role == "admin" else visitor.role,
            "admin": visitor.role == "admin",
            "token": token,
            "path": asked.path(request),
        }
        return HTMLResponse(self._pages.get_template(template).render(**common, **values), status)

    # Pages

    async def overview(self, request: Request) -> Response:
        """What needs attention, and the queues. With `fragment`, only what changes, and nothing if nothing has."""
        root, seen = asked.root(request), self._watch.glance()
        known = None if seen is None else self._fragments.now(root, seen.version)
        fragment = known if known is not None else await asyncio.to_thread(self._live, root)
        if "fragment" in request.query_params:
            return fragment.answer(request.headers)
        return self._page(request, "overview.html", live=drawing.rendered(fragment.text))

    def _live(self, root: str) -> Fragment:
        seen = self._watch.wanted()
        made = self._pages.get_template("queues.html")
        return self._fragments.get(root, seen.version, lambda: made.render(root=root, seen=seen))

    async def queue(self, request: Request) -> Response:
        """One queue, and what waits in it."""
        name, state = asked.one(request, "name"), request.query_params.get("state", "ready")
        if state not in ("ready", "delayed", "leased"):
            raise RegimentError(f'no state "{state}"; there are ready, delayed and leased')
        seen = await asyncio.to_thread(self._watch.wanted)
        if name not in seen.queues:
            await self._ask(lambda store: store.known(name))
        tasks = await self._ask(reading.tasks, name, state)
        standing = seen.queues.get(name)
        return self._page(
            request,
            "queue.html",
            name=name,
            state=state,
            tasks=tasks,
            standing=standing,
            most=reading.MOST,
            trends=seen.trends.get(name),
        )

    async def workers(self, request: Request) -> Response:
        """The trees of all hosts and their workers."""
        seen = await self._seen()
        return self._page(request, "workers.html", seen=seen, now=time.time())

    async def dead(self, request: Request) -> Response:
        """Dead letters in groups, of a queue or of all."""
        name, seen = request.query_params.get("queue"), await self._answering()
        found = await asyncio.to_thread(self._watch.behind.groups, [name] if name else [*seen.queues])
        return self._page(request, "dead.html", found=found, name=name, most=reading.MOST_GROUPS)

    async def group(self, request: Request) -> Response:
        """The letters of a group."""
        queue, wanted = asked.one(request, "queue"), request.query_params.get("group")
        await self._answering()
        found, upto = await asyncio.to_thread(self._watch.behind.newest, queue, wanted)
        letters = await self._ask(reading.rows, queue, found)
        return self._page(
            request, "group.html", queue=queue, group=wanted, letters=letters, upto=upto, most=reading.MOST
        )

    async def _seen(self) -> Seen:
        """The last look; waits only if there is none."""
        known = self._watch.glance()
        return known if known is not None else await asyncio.to_thread(self._watch.wanted)

    async def _answering(self) -> Seen:
        """The last look, at a store that answers."""
        seen = await self._seen()
        if seen.problem:
            raise StoreUnavailable(seen.problem)
        return seen

    async def letter(self, request: Request) -> Response:
        """Everything in a letter."""
        queue, id = asked.one(request, "queue"), asked.one(request, "id")
        found = await self._ask(reading.letter, queue, id)
        if found is None:
            return self._page(
                request, "message.html", 404, title="It is gone", text=f'There is no dead letter "{id}" any more.'
            )
        return self._page(request, "letter.html", queue=queue, letter=found)

    async def panel(self, path: str, request: Request) -> Response:
        """The page of a plugin; if it fails, a box with the reason."""
        seen = await self._seen()
        try:
            template, shown = await self._panels.show(path, list(seen.queues), dict(request.query_params))
            return self._page(request, template, **{**shown, "here": f"{asked.root(request)}/{path}"})
        except Exception as error:
            if isinstance(error, StoreUnavailable) or (
                isinstance(error, RegimentError) and not isinstance(error, StoreError)
            ):
                raise
            why = str(error) if isinstance(error, Failed) else f"{type(error).__name__}: {error}"
            text = f"The panel {path} cannot be shown: {why}"
            return self._page(request, "message.html", 502, title="That page has failed", text=text)

    async def panel_act(self, path: str, request: Request) -> Response:
        """Do what a form of a plugin's page says."""
        seen = self._watch.seen
        values = {field: str(given[0]) for field, given in request.state.form.items()}
        try:
            act = request.path_params["act"]
            said = await self._panels.act(path, act, list(seen.queues), values, asked.via(request))
        except Failed as error:
            text = f"The panel {path} has failed: {error}"
            return self._page(request, "message.html", 502, title="That page has failed", text=text)
        await asyncio.to_thread(self._watch.again, values.get("queue", ""))
        back = asked.root(request) + asked.local(values.get("back", f"/{path}"))
        return self._page(request, "message.html", title="Done", text=said, ways=[(back, "Back")])

    async def nowhere(self, request: Request) -> Response:
        """Whatever else is asked for."""
        text = f'There is no page "{request.path_params["rest"]:.100}" here.'
        return self._page(request, "message.html", 404, title="Page not found", text=text)

    # Forms

    async def act(self, request: Request) -> Response:
        """Do what a form says, and go back to where it was."""
        name, form = request.path_params["act"], request.state.form
        if name not in acting.ACTS:
            return asked.closed(404, "There is no such form.")
        queue = str(form.get("queue", [""])[0])
        values = {field: given if field == "letter" else given[0] for field, given in form.items()}
        done = await self._ask(acting.act, name, queue, values, asked.via(request), act=True)
        self._watch.behind.forget(queue, done.gone)
        await asyncio.to_thread(self._watch.again, queue)
        root, of = asked.root(request), asked.query(queue=queue, group=(form.get("group") or [None])[0])
        ways = [(f"{root}/queue?{asked.query(name=queue)}", f"Back to {queue}")]
        if name in ("replay", "drop"):
            ways = [(f"{root}/group?{of}", "Back to these letters"), (f"{root}/dead", "All dead letters"), *ways]
        return self._page(request, "message.html", title="Done", text=done.said, ways=ways)

    async def sign_in(self, request: Request) -> Response:
        """Ask for a token."""
        return self._page(request, "sign_in.html", back=asked.local(request.query_params.get("back", "/")), wrong=False)

    async def signed_in(self, request: Request) -> Response:
        """Let in who knows a token; a wrong one costs a second."""
        form = request.state.form
        back, visitor = asked.local(str(form.get("back", ["/"])[0])), self._doors.sign_in(str(form.get("key", [""])[0]))
        if visitor is None:
            await asyncio.sleep(1.0)
            return self._page(request, "sign_in.html", 403, back=back, wrong=True)
        answer = RedirectResponse(f"{asked.root(request)}{back}", 303)
        self._remember(answer, request, visitor)
        return answer
