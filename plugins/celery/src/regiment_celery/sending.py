"""How an application sends: where a task goes, and what the options of a call are in regiment's words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from regiment.bounds import seen
from regiment.pushing import Names, Pushing
from regiment.queue import Queue
from regiment.task import PRIORITIES
from regiment_celery.canvas import Signature, linked
from regiment_celery.conf import Conf, matches
from regiment_celery.eager import run_here
from regiment_celery.options import CALL, ROUTES, Refused, judge
from regiment_celery.rates import pool_of
from regiment_celery.result import AsyncResult
from regiment_celery.values import ERRORS, LINKS, packed


class Sending(Queue):
    """What an application has to push with."""

    conf: Conf
    canvas: bool
    periodic: Any
    tasks: dict[str, Any]

    def lane(self, queue: str) -> Queue:
        """What pushes to one of its queues."""
        raise NotImplementedError

    def moment(self, value: Any) -> Any:
        """A datetime, made aware."""
        raise NotImplementedError

    def task_named(self, name: str) -> Any:
        """The task of this name."""
        raise NotImplementedError

    def send_task(
        self,
        name: str,
        args: Any = None,
        kwargs: Any = None,
        *,
        link: Any = None,
        link_error: Any = None,
        **options: Any,
    ) -> AsyncResult:
        """Push a task by its name, which need not be known here."""
        refuse_call(name, args, kwargs)
        options = {key: value for key, value in options.items() if value is not None}
        task_id = options.pop("task_id", None)
        judge(CALL, f"{name}.apply_async", options)
        if link_error:
            self.want_canvas(f"link_error of {name}")
        task = self.tasks.get(name)
        if self.conf["task_always_eager"]:
            eager: AsyncResult = run_here(self.task_named(name), tuple(args or ()), dict(kwargs or {}), {"link": link})
            return eager
        given, named = tuple(args or ()), dict(kwargs or {})
        message = packed(given, named) if task is None else task.parameters.bind(given, named)
        message |= {key: found for key, found in ((LINKS, linked(link)), (ERRORS, linked(link_error))) if found}
        way = self.way(name, options)
        if task_id is not None:
            way["id"] = str(task_id)
        pushed = self.pushing(name, way).send(message)
        return AsyncResult(pushed.id, app=self, pushed=pushed)

    def want_canvas(self, what: str) -> None:
        """`Refused` in an application that has said that it has no canvas: nobody would go on after a step."""
        if not self.canvas:
            raise Refused(f'{what}: this application was made with regiment={{"canvas": False}}; leave that out')

    def signature(self, task: Any, args: Any = None, kwargs: Any = None, **options: Any) -> Signature:
        """A signature of a task, or of a name."""
        immutable = bool(options.pop("immutable", False))
        return Signature(
            task, tuple(args or ()), dict(kwargs or {}), dict(options.pop("options", options)), immutable, app=self
        )

    def read_signature(self, data: Any) -> Signature:
        """A signature, as a message carries it."""
        return Signature.from_dict(data, app=self)

    def pushing(self, name: str, way: Mapping[str, Any]) -> Pushing[...]:
        """What pushes a message of this task, this way."""
        lane: Queue = self.lane(str(way["queue"]))
        options = {key: value for key, value in way.items() if key != "queue"}
        return Pushing(lane.outlet, {"name": name, **options}, Names())

    def way(self, name: str, options: Mapping[str, Any]) -> dict[str, Any]:
        """Options of a call, with those of the task and of its route, in regiment's words."""
        task = self.tasks.get(name)
        how: Mapping[str, Any] = {} if task is None else task.how
        own = {key: how[key] for key in ("queue", "priority", "expires", "ignore_result") if how.get(key) is not None}
        given = {**self.route(name), **own, **options}
        made: dict[str, Any] = {"queue": queue_name(given.get("queue")) or self.name}
        if (priority := given.get("priority", self.conf["task_default_priority"])) is not None:
            made["priority"] = self.priority(priority)
        if given.get("countdown") is not None and given.get("eta") is not None:
            raise Refused(f"{name}: countdown and eta were both given; a task is due once")
        if given.get("countdown") is not None:
            made["delay"] = given["countdown"]
        if given.get("eta") is not None:
            made["at"] = self.moment(given["eta"])
        if given.get("expires") is not None:
            made["expires"] = self.moment(given["expires"])
        if given.get("headers"):
            made["headers"] = {str(key): str(value) for key, value in given["headers"].items()}
        if self.conf["result_backend"] and given.get("ignore_result", self.conf["task_ignore_result"]):
            made["result"] = False
        if task is not None and task.rate is not None:
            made["pool"] = pool_of(name)
        return made

    def priority(self, value: Any) -> str:
        """HIGH, NORMAL or LOW, for the number that the broker of the application would have had."""
        if isinstance(value, str) and value in PRIORITIES:
            return value
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 255:
            raise Refused(f"priority is {seen(value)}; expected a number from 0 to 9, or {', '.join(PRIORITIES)}")
        number = min(value, 9)
        number = number if str(self.conf["broker_url"] or "").startswith(("redis", "unix")) else 9 - number
        return "HIGH" if number <= 2 else "NORMAL" if number <= 5 else "LOW"

    def route(self, name: str) -> dict[str, Any]:
        """What `task_routes` says of a task."""
        for pattern, route in routes_of(self.conf["task_routes"]):
            if matches(pattern, name):
                return route_of(route)
        return {}

    def routed(self) -> list[str]:
        """The queues that settings, tasks and periodic tasks name."""
        named = [queue_name(one) for one in self.conf["task_queues"] or ()]
        named += [route_of(route).get("queue") for _, route in routes_of(self.conf["task_routes"])]
        named += [queue_name(task.how.get("queue")) for task in self.tasks.values()]
        named += self.periodic.queues()
        return [one for one in named if one]


def refuse_call(name: Any, args: Any, kwargs: Any) -> None:
    """`Refused` for what is no call."""
    if not isinstance(name, str):
        raise Refused(f"send_task got {seen(name)}; expected the name of a task")
    if args is not None and (isinstance(args, (str, bytes)) or not hasattr(args, "__iter__")):
        raise Refused(f"{name}: args is {seen(args)}; expected a list or tuple of arguments: args=[…]")
    if kwargs is not None and not isinstance(kwargs, Mapping):
        raise Refused(f"{name}: kwargs is {seen(kwargs)}; expected a mapping of names to values")


def queue_name(queue: Any) -> str | None:
    """The name of a queue that was given as a name, or as an object that has one."""
    found = getattr(queue, "name", queue)
    if found is None or isinstance(found, str):
        return found
    raise Refused(f"queue is {seen(queue)}; expected a name")


def routes_of(routes: Any) -> list[tuple[Any, Any]]:
    """Patterns and routes, in order."""
    if isinstance(routes, Mapping):
        return list(routes.items())
    found: list[tuple[Any, Any]] = []
    for one in routes or ():
        if callable(one) or isinstance(one, str):
            raise Refused(
                "task_routes has a function; write patterns: {'feed.tasks.*': {'queue': 'feeds'}}, or queue= where it is pushed"
            )
        found += list(one.items()) if isinstance(one, Mapping) else [tuple(one)]
    return found


def route_of(route: Any) -> dict[str, Any]:
    """The options that a route stands for."""
    if isinstance(route, str):
        return {"queue": route}
    if not isinstance(route, Mapping):
        raise Refused(f"task_routes has the route {seen(route)}; expected a queue's name, or a mapping of options")
    unknown = [key for key in route if key not in ("queue", "priority", "expires", "ignore_result")]
    if unknown:
        raise Refused(f"task_routes has {', '.join(unknown)}, which cannot be had here; {ROUTES}")
    return {**route, "queue": queue_name(route.get("queue"))} if "queue" in route else dict(route)
