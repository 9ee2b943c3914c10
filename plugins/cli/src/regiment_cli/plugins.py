"""`regiment plugins`: what is installed, from which distribution, what each offers, and its state."""

from __future__ import annotations

from typing import Any

import click

from regiment.hooks import OFFERS, Specs
from regiment.registry import NONE_INSTALLED, Plugin, registry
from regiment_cli.options import json_option
from regiment_cli.printing import put, say
from regiment_cli.terminal import show_json
from regiment_cli.text import table
from regiment_cli.verbs import Group


@click.group("plugins", cls=Group)
def command() -> None:
    """What is installed, what it offers, and its state (without a verb: list)."""


@command.command("list")
@json_option
def list_plugins(as_json: bool) -> None:
    """List the plugins: distribution, version, what they offer, and why one cannot be used."""
    plugins = registry().plugins
    if as_json:
        show_json({"plugins": [record(plugin) for plugin in plugins]})
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


def record(plugin: Plugin) -> dict[str, Any]:
    """A plugin as data."""
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
