"""The examination of an extension: data only, built anywhere, and no cost where it has no hook.

class TestMine(ExtensionContract):
    @pytest.fixture
    def extension(self): return MyExtension

    @pytest.fixture
    def options(self): return {"ttl": 60}
"""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest

from regiment.build import make_broker
from regiment.config import Use, WorkerConfig
from regiment.contracts import Service
from regiment.hooks import TOO_LATE, Specs, manager
from regiment.options import check_options
from regiment.registry import registry
from regiment_testing.contracts.examination import Examination

HOOKS = frozenset(name for name in vars(Specs) if name.startswith("regiment_"))
SPEC: Mapping[str, Any] = {
    "queue": "examined",
    "connector": {"name": "memory", "options": {}, "where": "memory", "plugins": []},
    "killer": {"name": "process", "options": {}},
    "lease": 30.0,
    "delivery": "at_least_once",
}
"""What a keeper would know of a target, for `regiment_services`."""

ELSEWHERE = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from regiment.build import make_broker
from regiment.config import Use
from regiment.registry import registry
name, options, spec, notes = json.loads(sys.argv[2])
registry()
before = set(sys.modules)
scope = registry().scope([Use(name, **options)])
scope.refuse()
services = {}
for _, call in scope.hooks("regiment_services"):
    services.update(call(spec, notes) or {})
print(json.dumps([sorted(services), [one for one in set(sys.modules) - before if one in ("regiment.queue", "regiment.worker")]]))
"""


class ExtensionContract(Examination):
    """Subclass it, give the fixtures `extension` (the class) and `options`, and every promise is examined."""

    @pytest.fixture
    def extension(self) -> type[Any]:
        raise NotImplementedError("give the fixture `extension`: the class to examine")

    @pytest.fixture
    def options(self) -> Mapping[str, Any]:
        """The options to examine it with; a connector's `trial`, so to say."""
        return {}

    def test_its_hooks_are_hooks(self, extension: type[Any], options: Mapping[str, Any]) -> None:
        """Each `regiment_…` method is marked `@hookimpl`, has the arguments of its hook, and there is at least one."""
        made, pm = extension(**options), manager()
        pm.register(made, "examined")
        pm.check_pending()
        marked = {name for name in HOOKS if any(True for _ in getattr(pm.hook, name).get_hookimpls())}
        named = {name for name in dir(made) if name.startswith("regiment_")}
        assert marked, "it has no hook"
        assert named == marked, f"not marked, or no hook: {sorted(named - marked)}"
        assert not named & set(TOO_LATE), "asked before any queue is known"

    def test_its_options_are_data(self, extension: type[Any], options: Mapping[str, Any]) -> None:
        """They come back as they were from JSON, in which they go to other processes."""
        assert json.loads(json.dumps(dict(options))) == dict(options)
        assert not check_options("it", extension, options)

    def test_an_option_that_it_has_not_is_refused(self, extension: type[Any], options: Mapping[str, Any]) -> None:
        """With words, at the configuration; so it takes no `**options`."""
        assert not any(p.kind is p.VAR_KEYWORD for p in inspect.signature(extension).parameters.values())
        assert check_options("it", extension, {**options, "no_such_option": 1})

    def test_keeper_and_supervisor_build_it_without_an_application(
        self, extension: type[Any], options: Mapping[str, Any]
    ) -> None:
        """By its name and its options, in a fresh process; what faces applications have is not loaded there."""
        name = f"{extension.__module__}:{extension.__qualname__}"
        line = [sys.executable, "-c", ELSEWHERE, json.dumps(sys.path), json.dumps([name, options, SPEC, None])]
        done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)[1] == [], "it imports what only applications need"

    def test_its_services_are_data_and_are_built_by_the_steward(
        self, extension: type[Any], options: Mapping[str, Any]
    ) -> None:
        """Each is a `Service` whose class takes its options, has the verbs of its kind, and touches nothing when it is made."""
        for service in _services(extension, options):
            assert isinstance(service, Service) and service.kind in ("duty", "server")
            assert json.loads(json.dumps(dict(service.options))) == dict(service.options)
            cls = _class_of(service)
            assert not check_options("service", cls, service.options)
            made = cls(**service.options)
            for verb in ("learn", "look" if service.kind == "duty" else "serve"):
                assert callable(getattr(made, verb, None)), f"{service.target} has no {verb}"

    def test_a_scope_with_it_leaves_the_others_as_they_are(
        self, extension: type[Any], options: Mapping[str, Any]
    ) -> None:
        """A queue that does not name it has none of its hooks, and costs what it did."""
        before = {name: len(registry().hooks(name)) for name in HOOKS}
        registry().scope([Use(f"{extension.__module__}:{extension.__qualname__}", **options)])
        assert {name: len(registry().hooks(name)) for name in HOOKS} == before

    def test_where_it_has_no_hook_a_push_and_a_success_take_the_short_way(
        self, extension: type[Any], options: Mapping[str, Any]
    ) -> None:
        """Idle it costs nothing: a push asks nobody, and a success in a worker needs nothing but its settlement."""
        made = extension(**options)
        config = WorkerConfig("examined", connector=Use("memory"), plugins=[made])
        asks = any(hasattr(made, name) for name in PUSHES) or _everywhere(*PUSHES)
        assert bool(make_broker(config).asked) == asks
        told = [name for name in SUCCESSES if registry().scope(config.plugins).hooks(name)]
        assert told == [name for name in SUCCESSES if hasattr(made, name) or _everywhere(name)]


PUSHES = ("regiment_push", "regiment_around_push")
SUCCESSES = ("regiment_around_attempt", "regiment_task_started", "regiment_task_finished")
"""Hooks that every success would have to pass."""


def _everywhere(*names: str) -> bool:
    """Whether something that is installed has one of these hooks."""
    return any(registry().hooks(name) for name in names)


def _services(extension: type[Any], options: Mapping[str, Any]) -> list[Service]:
    scope = registry().scope([extension(**options)])
    return [
        service
        for _, call in scope.hooks("regiment_services")[len(registry().hooks("regiment_services")) :]
        for service in dict(call(SPEC, None) or {}).values()
    ]


def _class_of(service: Service) -> Any:
    from importlib import import_module

    module, _, attribute = service.target.partition(":")
    return getattr(import_module(module), attribute)
