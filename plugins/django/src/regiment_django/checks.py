"""System checks: what is wrong with the setting, and what `regiment check` says of the queues."""

from __future__ import annotations

import contextlib
import io
import json
from typing import Any

from django.core import checks

from regiment.config import Use
from regiment.errors import PluginError
from regiment_django import conf, discovery


def check_setting(app_configs: Any, **options: Any) -> list[checks.CheckMessage]:
    """The setting `REGIMENT`."""
    found = [*conf.problems(), *conf.aliases(conf.of_transactions())]
    return [checks.Error(text, id="regiment.E001") for text in found]


def check_queues(app_configs: Any, **options: Any) -> list[checks.CheckMessage]:
    """The queues that were found."""
    found: list[checks.CheckMessage] = []
    targets = discovery.targets()
    for label, queue in targets.items():
        if not any(isinstance(one, Use) and one.name == "django" for one in queue.config.plugins):
            found.append(
                checks.Warning(
                    f"{label} is a plain queue of regiment: its pushes do not wait for the commit",
                    hint="from regiment_django import Queue; or plugins=[Django()]",
                    id="regiment.W001",
                )
            )
    names = {queue.name for queue in targets.values()}
    missing = [name for name in conf.said().get("queues", {}) if name not in names]
    for name in missing:
        hint = f"queues there: {', '.join(sorted(names)) or 'none'}; modules looked for: {', '.join(conf.modules())}"
        text = f'REGIMENT["queues"] has "{name}", and no application defines that queue'
        found.append(checks.Warning(text, hint=hint, id="regiment.W002"))
    return [*found, *_examined([label for label, queue in targets.items() if queue.tasks])]


def _examined(labels: list[str]) -> list[checks.CheckMessage]:
    """What `regiment check` says; nothing where the runner is not installed, as on a host that only pushes."""
    from regiment_cli.verbs import load

    if not labels:
        return []
    try:
        command = load("check")
    except PluginError:
        return []
    told = io.StringIO()
    with contextlib.redirect_stdout(told):
        command.main([*labels, "--json"], prog_name="regiment check", standalone_mode=False)
    report = json.loads(told.getvalue())
    return [
        *(checks.Error(f"{one['target']}: {one['text']}", id="regiment.E002") for one in report["problems"]),
        *(checks.Warning(f"{one['target']}: {one['text']}", id="regiment.W003") for one in report["warnings"]),
    ]
