"""Which plugins are here and what each offers: loading, refusing, and finding a part by name or URL."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import threading
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

from regiment import installed
from regiment.bounds import seen
from regiment.config import Use, is_offer_name
from regiment.contracts import CONTRACTS
from regiment.errors import ConfigError, PluginError, RegimentError, nearest
from regiment.hooks import OFFERS, PROJECT, TOO_LATE, Offer, manager
from regiment.known import DISTRIBUTIONS, OURS, written
from regiment.options import check_options
from regiment.task import OPTIONS, RULES

GROUP = "regiment"

ON_THE_WIRE = ("serializers", "compressors")
"""Kinds whose names stand in messages."""

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
        self.push_options: dict[str, str] = {}
        self.error: RegimentError | None = None
        """What made it broken, where that says it all."""

    @property
    def source(self) -> str:
        """Distribution and version, for people."""
        return f"{self.distribution} {self.version}".strip() or f"{self.name} (not packaged)"


class Registry:
    """All plugins of this process, made once. `extra` are modules or objects beside the entry points, `block` names to
    leave out. What one queue names besides is in a `scope`.
    """

    where = "--plugin or REGIMENT_PLUGINS"
    """Where plugins were named that have no entry point."""

    def __init__(self, extra: Iterable[Any] = (), block: Iterable[str] = ()) -> None:
        self.block = {*block, *_listed("REGIMENT_NO_PLUGINS")}
        self.plugins: list[Plugin] = []
        self.errors: list[RegimentError] = []
        """Why something that was named cannot be used; `refuse` raises it."""
        self.push_options: dict[str, tuple[str, Plugin]] = {}
        """Option of a push that a plugin offers -> what it means, and whose it is."""
        self.task_settings: dict[str, tuple[str, Plugin]] = {}
        """The same of settings of `@task`."""
        self.pm = manager()
        self._loaded: list[Any] = []
        self._known: dict[str, dict[str, tuple[Offer, Plugin]]] = {kind: {} for kind in OFFERS}
        self._scopes: dict[Any, Scope] = {}
        for name, distribution, version, load in _entry_points():
            self._add(Plugin(name, distribution, version), load)
        for item in [*_listed("REGIMENT_PLUGINS"), *extra]:
            self._name(item)

    def scope(self, plugins: Sequence[Any]) -> Registry:
        """What a queue with these `plugins=` sees: all that is here, then its own, in their order.

        The same plugins give the same scope; its objects are made once in a process.
        """
        if not plugins:
            return self
        if not isinstance(plugins, (list, tuple)):
            raise ConfigError(f"plugins is {seen(plugins)}; expected a list of modules, extensions and objects")
        key = tuple(item if isinstance(item, (str, Use)) else id(item) for item in plugins)
        with _lock:
            found = self._scopes.get(key)
            if found is None:
                found = self._scopes[key] = Scope(self, plugins)
            return found

    def refuse(self) -> None:
        """Raise what is wrong with plugins that were named: a `PluginError`, or else a `ConfigError` of their options."""
        for error in sorted(self.errors, key=lambda error: not isinstance(error, PluginError)):
            raise error

    def _name(self, item: Any) -> None:
        """Add what was named: a module, the use of an extension, or an object."""
        if isinstance(item, str):
            plugin, load = Plugin(item), lambda: self._module(item)
        elif isinstance(item, Use):
            plugin, load = Plugin(item.name), lambda: self.build("extensions", item)
            _, owner = self._known["extensions"].get(item.name, (None, plugin))
            plugin.distribution, plugin.version = owner.distribution, owner.version
        else:
            plugin, load = Plugin(getattr(item, "__name__", type(item).__name__)), lambda: item
        if same := sum(one.name.partition(" (")[0] == plugin.name for one in self.plugins):
            plugin.name += f" ({same + 1})"
        self._add(plugin, load)
        if plugin.state not in ("ok", "blocked"):
            text = f"the plugin {plugin.name} ({self.where}) is {plugin.state}: {plugin.reason}"
            self.errors.append(plugin.error or PluginError(text))

    def _module(self, name: str) -> Any:
        """The module of this name; `PluginError` for what names an extension."""
        one = name.removeprefix("regiment_")
        if one in self._known["extensions"] and (one != name or not importlib.util.find_spec(name)):
            raise PluginError(f'"{name}" is an extension; expected {written(one)}')
        return importlib.import_module(name)

    def _add(self, plugin: Plugin, load: Any) -> None:
        self.plugins.append(plugin)
        if {plugin.name.partition(" (")[0], plugin.distribution} & self.block:
            plugin.state, plugin.reason = "blocked", "blocked by --no-plugin or REGIMENT_NO_PLUGINS"
            return
        try:
            module = load()
            if any(module is one for one in self._loaded):  # named twice, or installed besides: it counts once
                self.plugins.remove(plugin)
                return
            self.pm.register(module, plugin.name)
            self.pm.check_pending()
            self._collect(plugin, module)
        except (Exception, SystemExit) as error:
            if self.pm.has_plugin(plugin.name):
                self.pm.unregister(name=plugin.name)
            plugin.state, plugin.reason = "broken", f"{type(error).__name__}: {error}"
            plugin.error = error if isinstance(error, (ConfigError, PluginError)) else None
            return
        if plugin.state != "ok":
            self.pm.unregister(name=plugin.name)
        else:
            self._loaded.append(module)

    def _collect(self, plugin: Plugin, module: Any) -> None:
        for kind in OFFERS:
            if hook := getattr(module, f"regiment_{kind}", None):
                plugin.offers[kind] = {name: _as_offer(offer) for name, offer in dict(hook()).items()}
        settings = dict(getattr(module, "regiment_task_settings", dict)())
        options = {**dict(getattr(module, "regiment_push_options", dict)()), **settings}
        plugin.reason = self._refusal(plugin, options, settings)
        if plugin.reason:
            plugin.state = "refused"
            return
        plugin.push_options = {name: line for name, line in options.items() if name not in settings}
        self.task_settings.update({name: (line, plugin) for name, line in settings.items()})
        self.push_options.update({name: (line, plugin) for name, line in plugin.push_options.items()})
        for kind, named in plugin.offers.items():
            self._known[kind].update({name: (offer, plugin) for name, offer in named.items()})

    def _refusal(self, plugin: Plugin, options: Iterable[str], settings: Iterable[str]) -> str:
        """Why what a plugin offers cannot be taken, in words; empty if it can."""
        for kind, name, offer in [(kind, *item) for kind, named in plugin.offers.items() for item in named.items()]:
            what = f"{kind[:-1]} {name!r}"
            if offer.contract not in CONTRACTS:
                takes = " and ".join(map(str, CONTRACTS))
                return f"{what} was made for contract version {offer.contract}; this regiment takes {takes}"
            if kind in ON_THE_WIRE and not is_offer_name(name):
                return f"{what} has a name that no message can bear; expected 1 to 32 of a-z, 0-9, _ and -"
            if (taken := self._known[kind].get(name)) is not None:
                both = f"{what} is offered by both {taken[1].source} and {plugin.source}"
                taken[1].reason = f"{both}; uninstall one of them, or block one with --no-plugin"
                return taken[1].reason
        for name in options:
            owner = (self.push_options.get(name) or self.task_settings.get(name) or ("", None))[1]
            if owner or name in (*OPTIONS, *RULES, "timeout"):
                both = f"{plugin.source}'s and our own"
                if owner:
                    both = f"offered by both {owner.source} and {plugin.source}"
                if owner and owner.source.partition(" (")[0] == (once := plugin.source.partition(" (")[0]):
                    both = f"offered twice: {once} is named twice"
                what = "setting" if name in settings else "push option"
                return f"{what} {name!r} is {both}; leave one of them out, or give it another name"
        return ""

    def offers(self, kind: str) -> dict[str, Offer]:
        """Name -> offer of everything of a kind that can be used."""
        return {name: offer for name, (offer, _) in self._known[kind].items()}

    def names(self, kind: str) -> list[str]:
        """Names that can be used of a kind, sorted."""
        return sorted(self._known[kind])

    def hooks(self, name: str) -> list[tuple[str, Callable[..., Any]]]:
        """(plugin, call) of everyone who implements an observer or around hook.

        The call takes all arguments of the spec, by position, and passes on those that the function names.
        """
        caller = getattr(self.pm.hook, name)
        fitted = partial(_fitted, caller.spec.argnames)
        return [(impl.plugin_name, fitted(impl.function, impl.argnames)) for impl in caller.get_hookimpls()]

    def said(self, what: str) -> dict[str, str]:
        """What plugins say of themselves in a set of words, and who says each: `needs`, the extras that their store must keep,
        and `understands`, the tags that tasks may have where they act.
        """
        return {word: name for name, plugin in self.pm.list_name_plugin() for word in getattr(plugin, what, ())}

    def keepers(self, extra: str) -> list[str]:
        """The connectors here that keep an extra of the contract; loads each that can be loaded."""
        found = []
        for name in self.names("connectors"):
            with contextlib.suppress(PluginError):
                if extra in self.resolve("connectors", Use(name))[1].capabilities.extras:
                    found.append(name)
        return found

    def resolve(self, kind: str, use: Use, where: str = "") -> tuple[str, Any]:
        """The name and class that `use` chooses: an offer's, a URL scheme's, or the class that "module:Class" names.

        Only for what a configuration or an option says; it imports what it is told to. What data name goes through
        `offered`. Raises `PluginError` for what is not here, saying what is and what would help.
        """
        name = use.name if use.scheme is None else self._of_scheme(use.scheme) or use.name
        found = self._known[kind].get(name)
        if found is not None:
            return name, self._load(kind, name, *found)
        if ":" in name and use.scheme is None:
            return name, _named(kind, name)
        raise PluginError(self._missing(kind, use, where))

    def offered(self, kind: str, name: str) -> Any:
        """The class that a name out of data (a message, a record) means.

        It is looked up among the offers of installed plugins and nowhere else: no module that the name spells is imported,
        no scheme is resolved. `LookupError` if there is none, `PluginError` if it is broken.
        """
        found = self._known[kind].get(name) if is_offer_name(name) else None
        if found is None:
            raise LookupError(f"no {kind[:-1]} named {name[:40]!r} is installed")
        return self._load(kind, name, *found)

    def _load(self, kind: str, name: str, offer: Offer, plugin: Plugin) -> Any:
        try:
            return installed.load(offer.target)
        except Exception as error:
            raise PluginError(
                f"{kind[:-1]} {name!r} of {plugin.source} cannot be loaded: {type(error).__name__}: {error}"
            ) from error

    def _of_scheme(self, scheme: str) -> str | None:
        for name, (offer, _) in self._known["connectors"].items():
            if scheme in offer.schemes:
                return name
        return None

    def _missing(self, kind: str, use: Use, where: str) -> str:
        """Why a part is not here, what is, and what would help."""
        shown, mark = (use.name, "") if use.scheme is None else (use.scheme, "://")
        named = f'for "{shown}://"' if mark else f'named "{shown}"'
        text = f"no {kind[:-1]} {named}{f' ({where})' if where else ''}"
        why = self._unusable(kind, shown)
        if why or not self.plugins:
            return f"{text}: {why or NONE_INSTALLED}"
        have = self.names(kind)
        if mark:
            known = self._known[kind].get(shown)
            have = sorted(one for offer, _ in self._known[kind].values() for one in offer.schemes)
            shown = known[0].schemes[0] if known and known[0].schemes else shown
        text += f"; installed: {', '.join(one + mark for one in have)}." if have else "; none is installed."
        return text + (nearest(shown, have).replace('"?', f'{mark}"?') or self._help(kind, shown))

    def _unusable(self, kind: str, name: str) -> str:
        """Which plugin has it, or should have, and cannot be used."""
        home = DISTRIBUTIONS.get(name)
        unusable = [plugin for plugin in self.plugins if plugin.state != "ok"]
        for plugin in unusable:
            if any(name in (offered, *offer.schemes) for offered, offer in plugin.offers.get(kind, {}).items()):
                return f"the plugin {plugin.name} of {plugin.source} has it and is {plugin.state}: {plugin.reason}"
        for plugin in unusable:
            if home and plugin.distribution == home:
                return f"the plugin {plugin.name} of {plugin.source} is {plugin.state}: {plugin.reason}"
        return ""

    def _help(self, kind: str, name: str) -> str:
        """What would help where no name is like it."""
        owner, home = self._of_scheme(name) if kind == "connectors" else None, DISTRIBUTIONS.get(name)
        if owner:
            return f' Addresses that begin with "{name}://" are {owner}\'s.'
        if home:
            return f" It is in {home}: pip install {home}"
        unread = [f"{one.name} ({one.state})" for one in self.plugins if one.state != "ok" and not one.offers]
        if unread:
            return f" What these offer is not known: {', '.join(unread)}; see regiment plugins"
        return "" if self._known[kind] else " The everyday plugins come with: pip install regiment"

    def build(self, kind: str, use: Use, where: str = "") -> Any:
        """The part that `use` chooses, constructed; `ConfigError` with all problems of its options."""
        name, cls = self.resolve(kind, use, where)
        return made(kind, name, cls, use.options)


class Scope(Registry):
    """What one queue sees: the plugins of the process, and after them those of its own `plugins=`."""

    where = "plugins="

    def __init__(self, base: Registry, plugins: Sequence[Any]) -> None:
        self.block, self.pm, self._base = base.block, manager(), base
        self.plugins, self.errors, self._loaded = [*base.plugins], [*base.errors], [*base._loaded]
        self.push_options, self.task_settings = {**base.push_options}, {**base.task_settings}
        self._known = {kind: dict(known) for kind, known in base._known.items()}
        self.named = list(plugins)  # kept, so that no other object gets the identity of one of these
        for item in plugins:
            self._name(item)

    def hooks(self, name: str) -> list[tuple[str, Callable[..., Any]]]:
        return [*self._base.hooks(name), *super().hooks(name)]

    def said(self, what: str) -> dict[str, str]:
        return {**self._base.said(what), **super().said(what)}

    def _collect(self, plugin: Plugin, module: Any) -> None:
        late = [name for name in TOO_LATE if hasattr(module, name)]
        if late:
            raise PluginError(
                f"the plugin {plugin.name} ({self.where}) has {late[0]}, which is asked before any queue is known; "
                f"install it with an entry point, or name it by --plugin or REGIMENT_PLUGINS"
            )
        super()._collect(plugin, module)


def made(kind: str, name: str, cls: Any, options: Mapping[str, Any]) -> Any:
    """A part of this class; `ConfigError` with all problems of its options."""
    problems = check_options(f"{kind[:-1]} {name!r}", cls, options)
    if problems:
        raise ConfigError(problems)
    return cls(**options)


def _fitted(given: Sequence[str], function: Any, wanted: Sequence[str]) -> Callable[..., Any]:
    if tuple(wanted) == tuple(given):
        return typing.cast("Callable[..., Any]", function)
    places = [given.index(name) for name in wanted]
    return lambda *args: function(*(args[place] for place in places))


def _as_offer(offer: Any) -> Offer:
    if isinstance(offer, Offer) and ":" in offer.target:
        return offer
    raise TypeError(f'an offer is {offer!r}; expected Offer("module:attribute", …)')


def _named(kind: str, name: str) -> Any:
    """What "module:Class" in a configuration names; `PluginError` if it cannot be had."""
    try:
        return installed.load(name)
    except Exception as error:
        raise PluginError(
            f"{kind[:-1]} {name!r} cannot be loaded: {type(error).__name__}: {error}; "
            'expected "module:Class" of a module that can be imported here'
        ) from error


def _entry_points() -> Iterator[tuple[str, str, str, Any]]:
    for point in sorted(installed.points(GROUP), key=lambda point: (point.distribution not in OURS, point)):
        yield point.name, point.distribution, point.version, point.load


def _listed(variable: str) -> list[str]:
    return [name.strip() for name in os.environ.get(variable, "").split(",") if name.strip()]


_lock = threading.RLock()
_options: dict[str, list[Any]] = {"extra": [], "block": []}


def use_plugins(extra: Iterable[str], block: Iterable[str]) -> None:
    """What `--plugin` and `--no-plugin` say, for every registry of this process from now on."""
    _options["extra"], _options["block"] = list(extra), list(block)
    _shared.cache_clear()


@lru_cache(maxsize=1)
def _shared() -> Registry:
    return Registry(_options["extra"], _options["block"])


def registry() -> Registry:
    """The registry of this process, made at first use and never changed afterwards; `scope` has what a queue names."""
    with _lock:
        return _shared()


__all__ = ["GROUP", "PROJECT", "Plugin", "Registry", "Scope", "made", "registry", "use_plugins"]
