"""What the global options say. click is not imported here: `run` goes without it where it can."""

from __future__ import annotations

import os
import sys

STYLES = ("auto", "console", "json", "off")
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


class Globals:
    """What the global options say, wherever on the line they stood."""

    def __init__(self) -> None:
        self.app_dir = "."
        self.plugins: list[str] = []
        self.blocked: list[str] = []
        self.log_format, self.log_level = "auto", "INFO"
        self.debug = False
        self._told: tuple[str, ...] | None = None

    def apply(self) -> None:
        """Check the application's folder and tell the registry of plugins, before a verb runs."""
        if not os.path.isdir(self.app_dir):
            import click

            raise click.BadParameter(f"{self.app_dir!r} is no folder", param_hint="--app-dir")
        self.know_plugins()

    def know_plugins(self) -> None:
        """Tell the registry which plugins are named and which blocked, as far as the line was read: verbs are found by it,
        and more may be said behind a verb's own name.
        """
        told = (*self.plugins, "", *self.blocked)
        if told == self._told:
            return
        self._told = told
        if self.plugins or os.environ.get("REGIMENT_PLUGINS"):
            # A plugin that is named may lie beside the application; what is installed comes first.
            folder = self._folder()
            if folder not in sys.path:
                sys.path.append(folder)
        if self.plugins or self.blocked:
            from regiment.registry import use_plugins

            use_plugins(self.plugins, self.blocked)

    def reach_application(self) -> None:
        """Put the application's folder on `sys.path`: called by what imports an application, and by nothing else.

        Whatever lies in the current folder is imported before what is installed; a verb that only looks at a store has
        no business there.
        """
        folder = self._folder()
        if sys.path[:1] != [folder]:
            sys.path.insert(0, folder)

    def _folder(self) -> str:
        from regiment import installed

        folder = os.path.abspath(self.app_dir)
        installed.leave_out(folder)
        return folder


_said = Globals()


def settings() -> Globals:
    """The global options of this run."""
    return _said
