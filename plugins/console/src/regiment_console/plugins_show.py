"""`regiment plugins show`: one plugin, or one offer of a plugin, with its options."""

from __future__ import annotations

import inspect
from typing import Any

import click

from regiment.config import Use
from regiment.errors import PluginError, nearest
from regiment.hooks import OFFERS
from regiment.options import is_secret
from regiment.registry import NONE_INSTALLED, Plugin, Registry, registry
from regiment_cli.options import json_option
from regiment_cli.plugins import record
from regiment_cli.printing import put
from regiment_cli.terminal import show_json


@click.command("show")
@click.argument("name")
@json_option
def command(name: str, as_json: bool) -> None:
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
        show_json({"plugins": [record(plugin) for plugin in plugins], "offers": parts})
        return
    blocks = [_plugin_text(record(plugin)) for plugin in plugins]
    put("\n\n".join([*blocks, *map(_part_text, parts)]))


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
