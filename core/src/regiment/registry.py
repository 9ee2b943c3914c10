"""Which plugins are here and what each offers: loading, refusing, and finding a part by name or URL."""

from __future__ import annotations

import importlib
import inspect
import os
import threading
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from regiment import installed, masking
from regiment.config import DISTRIBUTIONS, Use
from regiment.contracts import CONTRACT_VERSION, Secret
from regiment.errors import ConfigError, PluginError, nearest
from regiment.hooks import OFFERS, PROJECT, Offer, manager

GROUP = "regiment"

NONE_INSTALLED = "no plugin is installed. The everyday plugins come with: pip install regiment"


class Plugin:
    """One plugin: where it comes from, what it offers, and whether it can be used.

    `state` is ok, broken (its import or its offers raised), refused (made for another contract version, or a name that
    another plugin has) or blocked (by `--no-plugin`, REGIMENT_NO_PLUGINS); `reason` says why it is not ok.
    """

    def __init__(self, name: str, distribution: str = "", version: str = "") -> None:
        self.name, self.distribution, self.version = name, distribution, version
        self.state, self.reason = "ok", ""
        self.offers: dict[str, dict[str, Offer]] = {}

    @property
    def source(self) -> str:
        """Distribution and version, for people."""
        return f"{self.distribution} {self.version}".strip() or f"{self.name} (not packaged)"


class Registry:
    """All plugins of this process. `extra` are modules or objects beside the entry points, `block` names to leave out."""

    def __init__(self, extra: Iterable[Any] = (), block: Iterable[str] = ()) -> None:
        self.block = {*block, *_listed("REGIMENT_NO_PLUGINS")}
        self.plugins: list[Plugin] = []
        self.pm = manager()
        self._known: dict[str, dict[str, tuple[Offer, Plugin]]] = {kind: {} for kind in OFFERS}
        for name, distribution, version, load in _entry_points():
            self._add(Plugin(name, distribution, version), load)
        for item in [*_listed("REGIMENT_PLUGINS"), *extra]:
            self.add(item)

    def add(self, item: Any) -> None:
        """Load a plugin that is not packaged: a module's name, a module, or an object."""
        name = item if isinstance(item, str) else getattr(item, "__name__", type(item).__name__)
        if not any(plugin.name == name for plugin in self.plugins):
            load = (lambda: importlib.import_module(item)) if isinstance(item, str) else (lambda: item)
            self._add(Plugin(name), load)

    def _add(self, plugin: Plugin, load: Any) -> None:
        self.plugins.append(plugin)
        if {plugin.name, plugin.distribution} & self.block:
            plugin.state, plugin.reason = "blocked", "blocked by --no-plugin or REGIMENT_NO_PLUGINS"
            return
        try:
            module = load()
            self.pm.register(module, plugin.name)
            self.pm.check_pending()
            self._collect(plugin, module)
        except Exception as error:
            if self.pm.has_plugin(plugin.name):
                self.pm.unregister(name=plugin.name)
            plugin.state, plugin.reason = "broken", f"{type(error).__name__}: {error}"
            return
        if plugin.state != "ok":
            self.pm.unregister(name=plugin.name)

    def _collect(self, plugin: Plugin, module: Any) -> None:
        offers: dict[str, dict[str, Offer]] = {}
        for kind in OFFERS:
            hook = getattr(module, f"regiment_{kind}", None)
            if hook is not None:
                offers[kind] = {name: _as_offer(offer) for name, offer in dict(hook()).items()}
        plugin.offers = offers
        for kind, named in offers.items():
            for name, offer in named.items():
                if offer.contract != CONTRACT_VERSION:
                    plugin.state = "refused"
                    plugin.reason = (
                        f"{kind[:-1]} {name!r} was made for contract version {offer.contract}; "
                        f"this regiment has version {CONTRACT_VERSION}"
                    )
                    return
                taken = self._known[kind].get(name)
                if taken is not None:
                    plugin.state = "refused"
                    plugin.reason = (
                        f"{kind[:-1]} {name!r} is offered by both {taken[1].source} and {plugin.source}; "
                        f"uninstall one of them, or block one with --no-plugin"
                    )
                    taken[1].reason = plugin.reason
                    return
        for kind, named in offers.items():
            self._known[kind].update({name: (offer, plugin) for name, offer in named.items()})

    def names(self, kind: str) -> list[str]:
        """Names that can be used of a kind, sorted."""
        return sorted(self._known[kind])

    def hooks(self, name: str) -> list[tuple[str, Callable[..., Any]]]:
        """(plugin, call) of everyone who implements an observer or around hook.

        The call takes all arguments of the spec, by position, and passes on those that the function names.
        """
        caller = getattr(self.pm.hook, name)
        return [
            (impl.plugin_name, _fitted(impl.function, impl.argnames, caller.spec.argnames))
            for impl in caller.get_hookimpls()
        ]

    def resolve(self, kind: str, use: Use, where: str = "") -> tuple[str, Any]:
        """The name and class that `use` chooses: an offer's, a URL scheme's, or the class that "module:Class" names.

        Raises `PluginError` for what is not here, saying what is and what would help.
        """
        name = use.name
        if name.endswith(":"):
            name = self._of_scheme(name[:-1]) or name
        found = self._known[kind].get(name)
        if found is not None:
            return name, self._load(kind, name, *found)
        if ":" in name and not name.endswith(":"):
            return name, _attribute(name)
        raise PluginError(self._missing(kind, name, where))

    def _load(self, kind: str, name: str, offer: Offer, plugin: Plugin) -> Any:
        try:
            return _attribute(offer.target)
        except Exception as error:
            raise PluginError(
                f"{kind[:-1]} {name!r} of {plugin.source} cannot be loaded: {type(error).__name__}: {error}"
            ) from error

    def _of_scheme(self, scheme: str) -> str | None:
        for name, (offer, _) in self._known["connectors"].items():
            if scheme in offer.schemes:
                return name
        return None

    def _missing(self, kind: str, name: str, where: str) -> str:
        one, shown = kind[:-1], name.rstrip(":")
        what = f'no {one} for "{shown}://"' if name.endswith(":") else f'no {one} named "{shown}"'
        text = what + (f" ({where})" if where else "")
        for plugin in self.plugins:
            offered = plugin.offers.get(kind, {})
            schemes = {scheme for offer in offered.values() for scheme in offer.schemes}
            if plugin.state != "ok" and (shown in offered or shown in schemes):
                return (
                    f"{text}: the plugin {plugin.name} of {plugin.source} has it and is {plugin.state}: {plugin.reason}"
                )
        distribution = DISTRIBUTIONS.get(shown)
        for plugin in self.plugins:
            if plugin.state != "ok" and distribution and plugin.distribution == distribution:
                return f"{text}: the plugin {plugin.name} of {plugin.source} is {plugin.state}: {plugin.reason}"
        if not self.plugins:
            return f"{text}: {NONE_INSTALLED}"
        have, mark = self.names(kind), ""
        if name.endswith(":"):
            known, mark = self._known[kind].get(shown), "://"
            have = sorted(one for offer, _ in self._known[kind].values() for one in offer.schemes)
            shown = known[0].schemes[0] if known and known[0].schemes else shown
        listed = ", ".join(one + mark for one in have)
        text += f"; installed: {listed}." if have else "; none is installed."
        hint = nearest(shown, have).replace('"?', f'{mark}"?')
        if hint:
            return text + hint
        owner = self._of_scheme(shown) if kind == "connectors" else None
        if owner:
            return f'{text} Addresses that begin with "{shown}://" are {owner}\'s.'
        if distribution:
            return f"{text} It is in {distribution}: pip install {distribution}"
        unread = [f"{one.name} ({one.state})" for one in self.plugins if one.state != "ok" and not one.offers]
        if unread:
            return f"{text} What these offer is not known: {', '.join(unread)}; see regiment plugins"
        if not have:
            return f"{text} The everyday plugins come with: pip install regiment"
        return text

    def build(self, kind: str, use: Use, where: str = "") -> Any:
        """The part that `use` chooses, constructed; `ConfigError` with all problems of its options."""
        name, cls = self.resolve(kind, use, where)
        problems = check_options(f"{kind[:-1]} {name!r}", cls, use.options)
        if problems:
            raise ConfigError(problems)
        return cls(**use.options)


def _secret(hint: Any) -> bool:
    """Whether a hint, or a part of it (`Annotated[str, Secret] | None`), says so."""
    return Secret in getattr(hint, "__metadata__", ()) or any(map(_secret, typing.get_args(hint)))


def _fitted(function: Any, wanted: Sequence[str], given: Sequence[str]) -> Callable[..., Any]:
    if tuple(wanted) == tuple(given):
        return typing.cast("Callable[..., Any]", function)
    places = [given.index(name) for name in wanted]
    return lambda *args: function(*(args[place] for place in places))


def _as_offer(offer: Any) -> Offer:
    if isinstance(offer, Offer):
        return offer
    raise TypeError(f'an offer is {offer!r}; expected Offer("module:attribute", …)')


def _attribute(target: str) -> Any:
    module, _, path = target.partition(":")
    value: Any = importlib.import_module(module)
    for part in path.split("."):
        value = getattr(value, part)
    return value


def _entry_points() -> Iterator[tuple[str, str, str, Any]]:
    for point in sorted(installed.points(GROUP)):
        yield point.name, point.distribution, point.version, point.load


def _listed(variable: str) -> list[str]:
    return [name.strip() for name in os.environ.get(variable, "").split(",") if name.strip()]


_lock = threading.Lock()
_options: dict[str, list[Any]] = {"extra": [], "block": []}


def use_plugins(extra: Iterable[str], block: Iterable[str]) -> None:
    """What `--plugin` and `--no-plugin` say, for every registry of this process from now on."""
    _options["extra"], _options["block"] = list(extra), list(block)
    _shared.cache_clear()


@lru_cache(maxsize=1)
def _shared() -> Registry:
    return Registry(_options["extra"], _options["block"])


def registry(plugins: Iterable[Any] = ()) -> Registry:
    """The registry of this process, made at first use, with `plugins` (of a `WorkerConfig`) added."""
    with _lock:
        shared = _shared()
        for item in plugins:
            shared.add(item)
        return shared


__all__ = [
    "GROUP",
    "PROJECT",
    "Plugin",
    "Registry",
    "check_options",
    "is_secret",
    "registry",
    "use_plugins",
]
