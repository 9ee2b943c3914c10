"""`regiment plugins`: what is installed, from which distribution, what each offers, and its state."""

from __future__ import annotations

import inspect
from typing import Any

import click

from regiment.cli.options import Group
from regiment.cli.store import json_option
from regiment.cli.terminal import show_json
from regiment.errors import PluginError, nearest
from regiment.hooks import OFFERS, Specs
from regiment.options import is_secret
from regiment.printing import put, say
from regiment.registry import NONE_INSTALLED, Plugin, Registry, registry
from regiment.text import table
from regiment_testing import plugins_check, plugins_new


@click.group("plugins", cls=Group)
def command() -> None:
    """What is installed, what it offers, and its state (without a verb: list)."""


command.add_command(plugins_check.command)
command.add_command(plugins_new.command)


@command.command("list")
@json_option
def list_plugins(as_json: bool) -> None:
    """List the plugins: distribution, version, what they offer, and why one cannot be used."""
    plugins = registry().plugins
    if as_json:
        show_json({"plugins": [_record(plugin) for plugin in plugins]})
        return
    if not plugins:
        say(NONE_INSTALLED)
        return
    rows = [
        (plugin.name, plugin.distribution or "(not packaged)", plugin.version or None, plugin.state, _offers(plugin))
        for plugin in plugins
    ]
    put(table(rows, ("plugin", "distribution", "version", "state", "offers")))
    for plugin in plugins:
        if plugin.reason:
            say(f"{plugin.name}: {plugin.reason}")


@command.command("show")
@click.argument("name")
@json_option
def show(name: str, as_json: bool) -> None:
    """Show a plugin, or something that a plugin offers, with its options."""
    reg = registry()
    offers = [(kind, plugin) for plugin in reg.plugins for kind, named in plugin.offers.items() if name in named]
    plugins = [plugin for plugin in reg.plugins if name in (plugin.name, plugin.distribution)]
    if not offers and not plugins:
        known = [
            *(plugin.name for plugin in reg.plugins),
            *(o for k in OFFERS for o in reg.names(k)),
        ]
        have = f"There are: {', '.join(dict.fromkeys(known))}" if known else NONE_INSTALLED
        raise PluginError(f'no plugin and no offer named "{name}".{nearest(name, known)} {have}')
    parts = [_part(reg, kind, name, plugin) for kind, plugin in offers]
    if as_json:
        show_json({"plugins": [_record(plugin) for plugin in plugins], "offers": parts})
        return
    blocks = [_plugin_text(_record(plugin)) for plugin in plugins]
    put("\n\n".join([*blocks, *map(_part_text, parts)]))


def _record(plugin: Plugin) -> dict[str, Any]:
    offers = {
        kind: {
            name: {"target": offer.target, "schemes": list(offer.schemes), "summary": offer.summary}
            for name, offer in named.items()
        }
        for kind, named in plugin.offers.items()
        if named
    }
    hooks = _hooks(plugin)
    return {
        "plugin": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "state": plugin.state,
        "reason": plugin.reason,
        "offers": offers,
        "hooks": hooks,
    }


def _hooks(plugin: Plugin) -> list[str]:
    """Names of the hooks that it implements beside its offers."""
    pm = registry().pm
    if not pm.has_plugin(plugin.name):
        return []
    names = [name for name in vars(Specs) if name.startswith("regiment_")]
    return [
        name
        for name in names
        if name.removeprefix("regiment_") not in OFFERS
        and any(one.plugin_name == plugin.name for one in getattr(pm.hook, name).get_hookimpls())
    ]


def _offers(plugin: Plugin) -> str:
    listed = [
        f"{kind if len(named) > 1 else kind[:-1]} {', '.join(named)}" for kind, named in plugin.offers.items() if named
    ]
    hooks = _hooks(plugin)
    if hooks:
        listed.append(f"hooks {', '.join(name.removeprefix('regiment_') for name in hooks)}")
    return "; ".join(listed)


def _part(reg: Registry, kind: str, name: str, plugin: Plugin) -> dict[str, Any]:
    offer = plugin.offers[kind][name]
    found: dict[str, Any] = {
        "kind": kind[:-1],
        "name": name,
        "plugin": plugin.name,
        "source": plugin.source,
        "state": plugin.state,
        "reason": plugin.reason,
        "target": offer.target,
        "schemes": list(offer.schemes),
        "summary": offer.summary,
    }
    if plugin.state != "ok" or kind == "commands":
        return found
    from regiment.config import Use

    try:
        _, cls = reg.resolve(kind, Use(name))
    except PluginError as error:
        return {**found, "state": "broken", "reason": str(error)}
    found["options"] = {
        option: _option(cls, option, parameter) for option, parameter in inspect.signature(cls).parameters.items()
    }
    return found


def _option(cls: Any, name: str, parameter: inspect.Parameter) -> dict[str, Any]:
    needed = parameter.default is parameter.empty
    kind = parameter.annotation
    found: dict[str, Any] = {
        "type": kind if isinstance(kind, str) else getattr(kind, "__name__", str(kind)),
        "required": needed,
        "secret": is_secret(cls, name),
    }
    if not needed:
        found["default"] = parameter.default
    return found


def _plugin_text(one: dict[str, Any]) -> str:
    source = f"{one['distribution']} {one['version']}".strip() or "not packaged"
    lines = [f"plugin {one['plugin']} ({source}): {one['state']}"]
    if one["reason"]:
        lines.append(f"  {one['reason']}")
    for kind, named in one["offers"].items():
        for name, offer in named.items():
            schemes = f" ({', '.join(scheme + '://' for scheme in offer['schemes'])})" if offer["schemes"] else ""
            lines.append(f"  {kind[:-1]:<11} {name}{schemes}: {offer['summary'] or offer['target']}")
    lines += [f"  hook        {name}" for name in one["hooks"]]
    return "\n".join(lines)


def _part_text(one: dict[str, Any]) -> str:
    lines = [f"{one['kind']} {one['name']} (plugin {one['plugin']}, {one['source']}): {one['state']}"]
    for text in (one["reason"], one["summary"], f"is {one['target']}"):
        if text:
            lines.append(f"  {text}")
    if one["schemes"]:
        lines.append(f"  URLs {', '.join(scheme + '://…' for scheme in one['schemes'])}")
    for name, option in one.get("options", {}).items():
        shown = "required" if option["required"] else f"default {option['default']!r}"
        secret = ", secret" if option["secret"] else ""
        lines.append(f"  option {name}: {option['type']}, {shown}{secret}")
    return "\n".join(lines)
